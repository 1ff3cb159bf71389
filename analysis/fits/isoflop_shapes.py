"""What every kind of IsoFLOP profile is fitted to and gives back: a shape per budget, and the joint
errors of their minima.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CURVES = {"softened": 2, "skewed": 2, "parabola": 2, "cubic": 3, "akima": 2}
"""Profiles by name, and one less than the model sizes that each needs."""

Profiles = Sequence[tuple[np.ndarray, np.ndarray]]
"""For each budget, log N about its mean and losses, (runs,) each."""


@dataclass(frozen=True)
class Shape:
    """One profile: its coefficients, its minimum (NaN without one) and the standard error of that.

    `coefficients` are c3, c2, c1, c0 of a polynomial, none of Akima's interpolation, and x and the
    loss on a fine grid of a softened profile. `interval` is the minimum's own 95 % interval where
    it is not symmetric, infinite on a side that the runs do not close; None: from `sigma`.
    """

    coefficients: np.ndarray
    position: float
    height: float
    sigma: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Shapes:
    """All profiles, the covariances of their minima, and the noise that these are from.

    `covariance` is of the minima's positions in log N, `heights` of the logs of their losses,
    (budgets, budgets) each; `noise` is the relative standard deviation of a loss, known to
    `freedom` degrees of freedom. `curve` is what was fitted, `note` what a reader must know of it.
    """

    shapes: tuple[Shape, ...]
    covariance: np.ndarray
    heights: np.ndarray
    noise: float
    freedom: float
    curve: str
    note: str = ""


def relative_to_mean(profiles: Profiles) -> tuple[list[float], Profiles]:
    """Each profile's mean loss, and the profiles as shares of it."""
    levels = [float(loss.mean()) for _, loss in profiles]
    shares = [(x, loss / level) for (x, loss), level in zip(profiles, levels, strict=True)]
    return levels, shares


def seed_noise(profiles: Profiles) -> tuple[float, float]:
    """Relative standard deviation of losses that repeat a budget and a size, and its degrees of
    freedom; NaN and 0 where none does.
    """
    squares, freedom = 0.0, 0
    for x, loss in profiles:
        for size in np.unique(x):
            same = np.log(loss[x == size])
            squares += float(np.sum((same - same.mean()) ** 2))
            freedom += len(same) - 1
    return (float(np.sqrt(squares / freedom)) if freedom else float("nan")), float(freedom)
