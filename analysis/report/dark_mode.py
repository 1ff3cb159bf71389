"""Colours that stay legible on white and on dark paper: contrast, and a colour's dark-mode twin."""

import numpy as np

LIGHT_PAPER, DARK_PAPER = "#ffffff", "#14171b"

_TO_LMS = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_TO_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip
"""Linear sRGB to OKLab by way of cone responses (Ottosson 2020)."""


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two hex colours, (L1 + 0.05) / (L2 + 0.05), from 1 to 21.

    Source:  WCAG 2.2, relative luminance and contrast ratio.
    """
    low, high = sorted(float(_linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def dark_twin(colour: str) -> str:
    """The colour that stands for a hex colour on dark paper: same hue, lightness turned round.

    What stands out on white stands out on dark; chroma is reduced until sRGB holds the colour.
    """
    lightness, *chroma = _TO_LAB @ np.cbrt(_TO_LMS @ _linear(colour))
    lab = np.array([0.95 - 0.5 * lightness, *chroma])
    candidates = (_from_lab(lab * [1, share, share]) for share in np.linspace(1, 0, 21))
    rgb = next(rgb for rgb in candidates if rgb.min() >= -1e-6 and rgb.max() <= 1 + 1e-6)
    rgb = np.clip(rgb, 0, 1)
    coded = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * v):02x}" for v in coded)


def _from_lab(lab: np.ndarray) -> np.ndarray:
    """Linear sRGB, (3,), of an OKLab colour; outside 0 to 1 where sRGB does not hold it."""
    return np.linalg.solve(_TO_LMS, np.linalg.solve(_TO_LAB, lab) ** 3)


def _linear(colour: str) -> np.ndarray:
    """Linear sRGB in 0 to 1, (3,), of #rrggbb."""
    coded = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
