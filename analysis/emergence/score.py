"""Metric against scale: how emergent it looks, how surprising that is, and where it rises.

The emergence score (Schaeffer et al. 2023, after Srivastava et al. 2022) is large for a sudden
jump. It is not 0 on noise and not small for a smooth rise, so it never stands alone here: beside it
are a null distribution and what a straight line through as many points would score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from analysis.emergence.null import (
    CHANCE_DRAWS,
    ORDERS,
    Null,
    chance_nulls,
    permutation_nulls,
    row_scores,
)

Floats = NDArray[np.float64]

MIN_POINTS = 3
"""Fewer scales than these have no shape."""


@dataclass(frozen=True)
class Transition:
    """A logistic rise in log x: low + (high - low) / (1 + (x / threshold)^-steepness).

    `width` is the number of decades of x between 10 % and 90 % of the rise. Intervals are 95 %.
    `status` is converged; bound_hit (fewer than two scales lie beyond the threshold on one side, or
    the rise is steeper than their spacing resolves); degenerate (constant, or too few points).
    """

    low: float
    high: float
    threshold: float
    steepness: float
    status: str
    threshold_interval: tuple[float, float] = (math.nan, math.nan)
    width_interval: tuple[float, float] = (math.nan, math.nan)

    @property
    def width(self) -> float:
        return 2 * math.log(9) / self.steepness / math.log(10) if self.steepness > 0 else math.nan

    def __call__(self, x: ArrayLike) -> Floats:
        return _logistic(np.log(np.asarray(x, float)), self.low, self.high,
                         math.log(self.threshold), self.steepness)  # fmt: skip


def emergence_score(x: ArrayLike, y: ArrayLike) -> float:
    """sign(argmax y - argmin y) (max y - min y) / sqrt(median of squared steps), y sorted by x.

    M points on a straight line score M - 1 at any slope; a constant scores 0, and +-inf means
    that more than half of the steps are exactly 0 and others are not. x's spacing is not used.

    Args:    x: scale, shape (points,); y: metric, same shape, higher or lower better alike.
    Raises:  ValueError: lengths differ, fewer than two points, or values that are not finite.
    """
    x, y = _checked(x, y)
    return float(row_scores(y[np.argsort(x, kind="stable")][None])[0])


def permutation_null(
    x: ArrayLike, y: ArrayLike, rng: np.random.Generator, n_draws: int = ORDERS
) -> Null:
    """Null by shuffling y over x: would these very values in any order look as emergent?

    Its p-value can't be below the share of orders that score alike, about 2 in M! for M points.
    """
    x, y = _checked(x, y)
    return permutation_nulls(y[np.argsort(x, kind="stable")][None], rng, n_draws)[0]


def chance_null(x: ArrayLike, y: ArrayLike, n_draws: int = CHANCE_DRAWS) -> Null:
    """Null by noise alone: every point at one level, with independent normal errors of one size.

    The size does not matter, since the score does not depend on y's unit. Twelve points score about
    3.3 at the median and 6.4 at 95 %.
    """
    x, y = _checked(x, y)
    return chance_nulls(np.array([emergence_score(x, y)]), len(y), n_draws)[0]


def fit_transition(
    x: ArrayLike, y: ArrayLike, rng: np.random.Generator | None = None, n_resamples: int = 200
) -> Transition:
    """Logistic rise (or fall) of y in log x by least squares; intervals by resampling the points.

    Args:    x: scale > 0, shape (points,), repeats allowed (seeds); rng: None gives no intervals.
    Raises:  ValueError: as `emergence_score`, or x not positive.
    """
    x, y = _checked(x, y)
    if (x <= 0).any():
        raise ValueError(f"x must be positive; got {x.min()}")
    if len(np.unique(x)) < MIN_POINTS + 1 or np.ptp(y) == 0:
        return Transition(float(y.mean()), float(y.mean()), math.nan, math.nan, "degenerate")
    log_x = np.log(x)
    low, high, centre, steepness = _fit_logistic(log_x, y)
    scales = np.unique(log_x)
    seen = scales[1] < centre < scales[-2]
    resolved = steepness < 0.99 * _STEEPEST / np.ptp(log_x)
    status = "converged" if seen and resolved else "bound_hit"
    fitted = Transition(low, high, math.exp(centre), steepness, status)
    return fitted if rng is None else _with_intervals(fitted, log_x, y, rng, n_resamples)


def plateau(x: ArrayLike, y: ArrayLike, share: float = 0.05) -> list[tuple[float, float]]:
    """Stretches of x over at least two steps in each of which y moves by < `share` of its range."""
    x, y = _checked(x, y)
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    still = np.abs(np.diff(y)) < share * np.ptp(y)
    found, start = [], None
    for i, flat in enumerate([*still.tolist(), False]):
        if flat and start is None:
            start = i
        elif not flat and start is not None:
            if i - start >= 2:
                found.append((float(x[start]), float(x[i])))
            start = None
    return found


def in_all(plateaus: Sequence[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The stretches that lie in a plateau of every curve."""
    shared = plateaus[0]
    for own in plateaus[1:]:
        both = [(max(a, c), min(b, d)) for a, b in shared for c, d in own]
        shared = [(low, high) for low, high in both if low < high]
    return shared


def mean_by(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """Mean of y at each distinct x, sorted: seeds averaged before a score is taken."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    distinct, index = np.unique(x, return_inverse=True)
    return distinct, np.bincount(index, weights=y) / np.bincount(index)


def bootstrap_mean(
    values: ArrayLike, rng: np.random.Generator, n_resamples: int = 1000
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of a mean; the value itself for a single one."""
    values = np.asarray(values, float)
    drawn = rng.choice(values, (n_resamples, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


_STEEPEST = 400.0
"""Bound of steepness times the range of log x: a rise within 1 % of the range is a step."""


def _logistic(log_x: Floats, low: float, high: float, centre: float, steepness: float) -> Floats:
    return low + (high - low) / (1 + np.exp(-np.clip(steepness * (log_x - centre), -500, 500)))


def _fit_logistic(log_x: Floats, y: Floats) -> tuple[float, float, float, float]:
    """Least squares from several steepnesses and centres; the two levels stay within y's range."""
    span, bottom, top = float(np.ptp(log_x)), float(y.min()), float(y.max())
    scale = top - bottom
    margin = 0.05 * scale
    lower = [bottom - margin, bottom - margin, log_x.min(), 1 / span]
    upper = [top + margin, top + margin, log_x.max(), _STEEPEST / span]
    rising = np.corrcoef(log_x, y)[0, 1] >= 0
    ends = (bottom, top) if rising else (top, bottom)
    starts = [
        [*ends, centre, steepness / span]
        for centre in np.quantile(log_x, [0.25, 0.5, 0.75])
        for steepness in (4.0, 20.0, 100.0)
    ]

    fits = [_least_squares(log_x, y, scale, start, lower, upper) for start in starts]
    best = min(fits, key=lambda fit: fit.cost)
    low, high, centre, steepness = (float(v) for v in best.x)
    return low, high, centre, steepness


def _least_squares(
    log_x: Floats, y: Floats, scale: float, start: ArrayLike, lower: ArrayLike, upper: ArrayLike
) -> Any:
    """Bounded least squares of the logistic, residuals in units of `scale`, exact Jacobian."""

    def residual(p: Floats) -> Floats:
        return (_logistic(log_x, *p) - y) / scale

    def jacobian(p: Floats) -> Floats:
        low, high, centre, steepness = p
        s = _logistic(log_x, 0, 1, centre, steepness)
        slope = (high - low) * s * (1 - s)
        return np.stack([1 - s, s, -steepness * slope, (log_x - centre) * slope], axis=1) / scale

    inside = np.clip(start, lower, upper)
    exact: Any = jacobian
    return least_squares(residual, inside, exact, bounds=(lower, upper))


def _with_intervals(
    fitted: Transition, log_x: Floats, y: Floats, rng: np.random.Generator, n_resamples: int
) -> Transition:
    """Threshold and width over resampled residuals: every scale keeps its points."""
    residuals = y - fitted(np.exp(log_x))
    n_free = max(1, len(y) - 4)
    residuals = residuals * math.sqrt(len(y) / n_free)
    start = np.array([fitted.low, fitted.high, math.log(fitted.threshold), fitted.steepness])
    span, scale = float(np.ptp(log_x)), float(np.ptp(y))
    lower = [y.min() - scale, y.min() - scale, log_x.min(), 1 / span]
    upper = [y.max() + scale, y.max() + scale, log_x.max(), _STEEPEST / span]
    base = fitted(np.exp(log_x))
    thresholds, widths = [], []
    for _ in range(n_resamples):
        drawn = base + rng.choice(residuals, len(y))
        refit = _least_squares(log_x, drawn, scale, start, lower, upper).x
        thresholds.append(math.exp(refit[2]))
        widths.append(2 * math.log(9) / refit[3] / math.log(10))
    return Transition(
        fitted.low, fitted.high, fitted.threshold, fitted.steepness, fitted.status,
        _percentiles(thresholds), _percentiles(widths),
    )  # fmt: skip


def _percentiles(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise ValueError(
            f"x and y have shapes {x.shape} and {y.shape}; expected one shape (points,), at least 2"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x and y must be finite; drop or report the others first")
    return x, y
