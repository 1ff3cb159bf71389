"""The forms: log L and its slopes, by parameters about the centre of the runs (see `solver`).

X = A N^-alpha and Y = B D^-beta throughout.
"""

import numpy as np

MOST_LOG = 50.0
"""Largest logarithm of a term; what a search may try, short of the range of floats."""

BREAK_WIDTH = 0.5
"""Width of the break of `broken`, in the logarithm of the reducible loss."""


def interaction(theta: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L = E + X + Y + f X Y / E, by (log E, log A, log B, alpha, beta, f).

    f = 0 is the additive form and f = 1 a product, E (1 + X/E) (1 + Y/E).
    """
    e, a, b, alpha, beta, f = (theta[:, i, None] for i in range(6))
    irreducible, size, data = np.exp(e), bounded_exp(a - alpha * u), bounded_exp(b - beta * v)
    both = size * data / irreducible
    total = irreducible + size + data + f * both
    slopes = np.stack([irreducible - f * both, size + f * both, data + f * both], axis=1)
    slopes = np.concatenate(
        [slopes, -u * slopes[:, 1:2], -v * slopes[:, 2:3], both[:, None]], axis=1
    )
    return np.log(total), slopes / total[:, None]


def broken(theta: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L = E + R (1 + (R_b / R)^(1/w))^(-c w) with R = X + Y, by (log E, log A, log B, alpha, beta,
    c, log R_b).

    A smoothly broken power law (Caballero et al. 2023) of what limits a run: once the reducible
    loss falls below R_b, both exponents are 1 + c times as large. N_opt is that of R, unbroken.
    """
    e, a, b, alpha, beta, c, at = (theta[:, i, None] for i in range(7))
    w = BREAK_WIDTH
    irreducible, size, data = np.exp(e), bounded_exp(a - alpha * u), bounded_exp(b - beta * v)
    reducible = size + data
    ratio = (at - np.log(reducible)) / w
    bend = np.logaddexp(0.0, ratio)
    bent = bounded_exp(np.log(reducible) - c * w * bend)
    share = np.exp(ratio - bend)
    total = irreducible + bent
    # d log bent / d log R = 1 + c share, and by log R_b minus c share.
    by_log = bent * (1 + c * share) / reducible
    slopes = np.stack(
        [irreducible + 0 * bent, by_log * size, by_log * data, -u * by_log * size,
         -v * by_log * data, -w * bend * bent, -c * share * bent], axis=1,
    )  # fmt: skip
    return np.log(total), slopes / total[:, None]


def kaplan(theta: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L = [(N_c/N)^p + D_c/D]^alpha_D, by (N-term, D-term, p, log alpha_D)."""
    size, data, p, log_alpha = (theta[:, i, None] for i in range(4))
    alpha = np.exp(log_alpha)
    x, y = size - p * u, data - v
    both = np.logaddexp(x, y)
    share = np.exp(x - both)
    by_size = alpha * share
    slopes = np.stack([by_size, alpha * (1 - share), -u * by_size, alpha * both], axis=1)
    return alpha * both, slopes


def bounded_exp(power: np.ndarray) -> np.ndarray:
    return np.exp(np.minimum(power, MOST_LOG))
