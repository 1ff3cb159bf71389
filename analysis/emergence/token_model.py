"""Schaeffer et al.'s account of emergence, as formulas to test: per-token success to metrics.

A power law in the per-token loss, L(N) = (N/c)^alpha with alpha < 0, makes a token right with
probability p = exp(-(N/c)^alpha). If tokens succeed independently and alike, an answer of L tokens
is fully right with probability p^L and has about L (1 - p) wrong ones: one sharp curve and one
smooth curve from the same p. L leaves the stop token out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import brentq

Floats = NDArray[np.float64]
Lengths = Mapping[int, float]
"""Share of items with each target length."""


@dataclass(frozen=True)
class TokenLaw:
    """Per-token loss (N/c)^alpha, nats; fitted as a line in logarithms with R^2 `r_squared`."""

    c: float
    alpha: float
    alpha_interval: tuple[float, float]
    r_squared: float
    n_points: int

    def loss(self, n_params: ArrayLike) -> Floats:
        return (np.asarray(n_params, float) / self.c) ** self.alpha

    def probability(self, n_params: ArrayLike) -> Floats:
        """p = exp(-(N/c)^alpha) of one token."""
        return np.exp(-self.loss(n_params))


@dataclass(frozen=True)
class Holdout:
    """Predictions at sizes above `largest_fitted` by a law fitted to the sizes up to it."""

    largest_fitted: float
    law: TokenLaw
    n_params: Floats
    accuracy: Floats
    predicted_accuracy: Floats
    distance: Floats
    predicted_distance: Floats

    @property
    def accuracy_error(self) -> float:
        """Mean absolute error of the predicted exact match at the sizes left out."""
        return float(np.mean(np.abs(self.predicted_accuracy - self.accuracy)))

    @property
    def distance_error(self) -> float:
        """Mean absolute error of the predicted token edit distance at the sizes left out."""
        return float(np.mean(np.abs(self.predicted_distance - self.distance)))


@dataclass(frozen=True)
class LengthCell:
    """One model and target length: what was measured and what independent tokens would give.

    `geometric` is p^L of the mean token accuracy; `product` multiplies each position's own accuracy
    and the stop token's; `quasilinear` is L (1 - p) for the edit distance.
    """

    run_id: str
    n_params: float
    length: int
    n_items: int
    accuracy: float
    distance: float
    token_accuracy: float
    position_accuracies: tuple[float, ...]
    stop_accuracy: float
    chance: float = math.nan

    @property
    def geometric(self) -> float:
        return self.token_accuracy**self.length

    @property
    def product(self) -> float:
        return math.prod(self.position_accuracies) * self.stop_accuracy

    @property
    def quasilinear(self) -> float:
        return self.length * (1 - self.token_accuracy)


def fit_token_law(n_params: ArrayLike, token_loss: ArrayLike) -> TokenLaw:
    """log loss = alpha (log N - log c) by least squares; interval of alpha by Student's t.

    Args:    n_params, token_loss: > 0, shape (points,), points at two or more sizes.
    Raises:  ValueError: fewer than two sizes, or values that are not positive.
    """
    x, y = np.asarray(n_params, float), np.asarray(token_loss, float)
    if len(np.unique(x)) < 2 or (x <= 0).any() or (y <= 0).any():
        raise ValueError(
            f"a law needs positive losses at two sizes or more; got {len(np.unique(x))} sizes, "
            f"smallest loss {y.min() if len(y) else math.nan:g}"
        )
    line: Any = stats.linregress(np.log(x), np.log(y))
    alpha, intercept, error = float(line.slope), float(line.intercept), float(line.stderr)
    half = float(stats.t.ppf(0.975, len(x) - 2)) * error if len(x) > 2 else math.nan
    c = math.exp(np.clip(-intercept / alpha, -700, 700)) if alpha else math.inf
    return TokenLaw(c, alpha, (alpha - half, alpha + half), float(line.rvalue) ** 2, len(x))


def accuracy(p: ArrayLike, lengths: Lengths) -> Floats:
    """sum over L of share(L) p^L: exact match if tokens succeed independently with p."""
    p = np.asarray(p, float)
    return sum((share * p**length for length, share in lengths.items()), np.zeros_like(p))


def edit_distance(p: ArrayLike, lengths: Lengths) -> Floats:
    """sum over L of share(L) L (1 - p): its leading term under the same assumption."""
    p = np.asarray(p, float)
    return sum((share * length * (1 - p) for length, share in lengths.items()), np.zeros_like(p))


def threshold(law: TokenLaw, lengths: Lengths, level: float = 0.5) -> float:
    """N at which the predicted accuracy reaches `level`; NaN where the law never rises to it."""
    if law.alpha >= 0 or not math.isfinite(law.c):
        return math.nan
    p: Any = brentq(lambda q: float(accuracy(q, lengths)) - level, 1e-12, 1 - 1e-12)
    exponent = math.log(-math.log(float(p))) / law.alpha + math.log(law.c)
    return math.exp(exponent) if exponent < 700 else math.inf


def leave_largest_out(
    n_params: ArrayLike,
    token_loss: ArrayLike,
    exact_match: ArrayLike,
    distance: ArrayLike,
    lengths: Lengths,
) -> list[Holdout]:
    """For every cut that leaves at least three sizes to fit: predict all larger sizes.

    Args:    four arrays of shape (points,), repeats of a size (seeds) allowed.
    Returns: one Holdout a cut, the largest cut last.
    """
    n, loss = np.asarray(n_params, float), np.asarray(token_loss, float)
    measured, apart = np.asarray(exact_match, float), np.asarray(distance, float)
    cuts = np.unique(n)[2:-1]
    found = []
    for cut in cuts:
        fitted, left = n <= cut, n > cut
        law = fit_token_law(n[fitted], loss[fitted])
        p = law.probability(n[left])
        found.append(
            Holdout(
                largest_fitted=float(cut),
                law=law,
                n_params=n[left],
                accuracy=measured[left],
                predicted_accuracy=accuracy(p, lengths),
                distance=apart[left],
                predicted_distance=edit_distance(p, lengths),
            )
        )
    return found
