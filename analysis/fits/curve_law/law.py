"""The law: L = level + A S^-alpha - B sum_k fall_k G(rate_k^-gamma (S - S_k)).

G(x) = 1 - (1 + C x)^-beta. S is the age of the run in tokens at the peak rate; the last term is
what falls of the rate have gained so far, each growing with the age since it (Luo et al. 2025).
Sizes share all but the level.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError, Status
from analysis.fits.curve_law.path import Past


@dataclass(frozen=True)
class Shape:
    """What enters the law other than in proportion.

    Attributes:
        alpha: Exponent of the age.
        C: How fast a fall of the rate takes effect, per `unit` of age.
        beta: Exponent of that effect.
        gamma: How much longer a fall takes effect at a lower rate.
    """

    alpha: float
    C: float
    beta: float
    gamma: float


@dataclass(frozen=True, eq=False)
class CurveLaw:
    """A law of whole loss curves.

    Attributes:
        levels: What the loss falls towards at the peak rate, by size.
        A: Coefficient of the age: the loss above the level at age `unit`.
        B: Loss gained by a fall from the peak to nothing, once it has taken effect.
        shape: The rest.
        unit: Age that S is counted in, tokens.
        rms: Of relative residuals of the points that were fitted.
        n_points: Those points.
        status: Whether the numbers may be used.
        reason: Why not, or what must be known.
    """

    levels: Mapping[float, float]
    A: float
    B: float
    shape: Shape
    unit: float
    rms: float
    n_points: int
    status: Status = "converged"
    reason: str = ""

    def loss(self, size: float, past: Past) -> np.ndarray:
        """The loss at each point of a schedule's past, (points,).

        Raises:
            FitError: No run of that size was fitted.
        """
        if size not in self.levels:
            known = ", ".join(f"{one:.6g}" for one in self.levels)
            raise FitError(f"no curve of {size:.6g} parameters was fitted; expected one of {known}")
        return self.levels[size] + self.above_level(past)

    def above_level(self, past: Past) -> np.ndarray:
        """The part that sizes share, (points,)."""
        age, gained = terms(self.shape, past, self.unit)
        return self.A * age - self.B * gained


def terms(shape: Shape, past: Past, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """(S/unit)^-alpha and what the falls of the rate have gained, (points,) each."""
    age = (past.age / unit) ** -shape.alpha
    if not len(past.fall):
        return age, np.zeros(len(age))
    waited = past.since * (past.rate**-shape.gamma / unit)
    effect = 1.0 - (1.0 + shape.C * waited) ** -shape.beta
    return age, effect @ past.fall
