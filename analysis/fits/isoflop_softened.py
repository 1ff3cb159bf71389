"""The "softened" IsoFLOP profile: the skewed parabola plus a small random roughness.

Far from a minimum real profiles stray from any polynomial: short runs of large models train badly.
A roughness (isoflop_roughness.py) lets runs inform the minimum less the farther they are. Its size
tau is averaged over by marginal likelihood; tau = 0 is the skewed parabola. Deviations are
correlated over budgets, since misfit drifts with compute, and a drift is what biases the exponent.
Minima, their heights, both covariances, the curves and the intervals come from one posterior.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.fits.isoflop_roughness import (
    Coefficients,
    NearRuns,
    Roughness,
    correlation,
    near_minima,
)
from analysis.fits.isoflop_shapes import Profiles, Shape, Shapes

TAUS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""At .8 the curvature changes by 40 % (SD) over a factor e of N."""
USUAL, SMOOTH, SMOOTH_RISE = 0.8, 0.4, 0.1
"""Of the prior (`_log_prior`): six sizes cannot tell a rough profile from a smooth one, and under
a flat prior their intervals are twice as wide. Wide profiles are not believed to be smooth: misfit
that seed noise hides would bias the exponent. Both were set by simulated coverage
(docs/method.md)."""
POINTS = 301
"""Points of a profile's fine grid."""

_Grid = tuple[np.ndarray, np.ndarray, np.ndarray]
"""z of a budget's fine grid, and what its coefficients add up to there: values and slopes."""


@dataclass(frozen=True)
class _Minima:
    """Minima under one tau: positions z (NaN without one), heights, covariances, and on the fine
    grids the curves and how surely the slope is positive, (budgets, POINTS).
    """

    positions: np.ndarray
    heights: np.ndarray
    position_covariance: np.ndarray
    height_covariance: np.ndarray
    curves: np.ndarray
    rising: np.ndarray
    variance: float


def fit_softened(
    profiles: Profiles, log_flops: np.ndarray, noise: float | None = None
) -> Shapes | None:
    """Fit all profiles of a grid; None where runs near the minima are too few for it.

    A shape's coefficients are x and the fitted loss on a fine grid of the runs near the minimum,
    (2, POINTS).

    Args:    log_flops: log of each profile's budget, (budgets,); noise: relative standard deviation
             of the loss between seeds, estimated when None.
    """
    ordered = [np.argsort(x, kind="stable") for x, _ in profiles]
    logs = [(x[o], np.log(loss[o])) for (x, loss), o in zip(profiles, ordered, strict=True)]
    near = near_minima(logs)
    try:
        model = Roughness(near, correlation(log_flops), noise)
    except np.linalg.LinAlgError:
        return None
    freedom = float(model.spare) if noise is None else np.inf
    evidence = np.array([model.evidence(tau) for tau in TAUS]) + _log_prior(near)
    weights = np.exp(evidence - evidence.max())
    # A tau of no weight is not worth its covariance.
    heavy = weights > 0.01 * weights.sum()
    weights = weights[heavy] / weights[heavy].sum()
    taus = np.array(TAUS)[heavy]
    grids = [_grid(near, i) for i in range(near.n_budgets)]
    found = [_read(near, grids, model.coefficients(float(tau)), freedom) for tau in taus]
    return _mixed(weights, found, near, grids, freedom)


def _log_prior(near: NearRuns) -> np.ndarray:
    """Log prior of each tau: (1 + (tau / .8)^2)^-.75, and for a tau below .4 less the higher the
    runs that count rise above their minimum.
    """
    taus = np.array(TAUS)
    rise = np.median([np.ptp(near.y[near.budget == i]) for i in range(near.n_budgets)])
    smooth = (taus < SMOOTH) * np.log1p((rise / SMOOTH_RISE) ** 4)
    return -0.75 * np.log1p((taus / USUAL) ** 2) - smooth


def _read(near: NearRuns, grids: list[_Grid], given: Coefficients, freedom: float) -> _Minima:
    """Minima of the mean curves and, by the slopes' and values' covariances there, their errors."""
    n = near.n_budgets
    positions, heights, curves, rising = np.full(n, np.nan), np.zeros(n), [], []
    turned, lifted = np.zeros((2, n, len(given.mean)))
    for i, (grid, values, slopes) in enumerate(grids):
        slots = near.slots(i)
        mean, own = given.mean[slots], given.covariance[np.ix_(slots, slots)]
        curve = values @ mean
        spread = np.sqrt(np.maximum(np.sum(slopes @ own * slopes, axis=1), 1e-300))
        curves.append(curve)
        rising.append(_student(slopes @ mean / spread, freedom))
        j = int(curve.argmin())
        at = float(grid[j])
        if 0 < j < POINTS - 1:
            bend = curve[j - 1] - 2 * curve[j] + curve[j + 1]
            if bend > 0:
                at += 0.5 * (grid[1] - grid[0]) * (curve[j - 1] - curve[j + 1]) / bend
            positions[i] = at
        value, tilt, bend = (near.rows(np.array([at]), i, order)[0] for order in (0, 1, 2))
        heights[i] = value @ mean
        lifted[i, slots] = value
        # At least a fifth of the pilot's, since a rough path may be nearly flat at its least point.
        turned[i, slots] = tilt / max(float(bend @ mean), 0.2 * near.curvature[i])
    return _Minima(
        positions=positions,
        heights=heights,
        position_covariance=turned @ given.covariance @ turned.T,
        height_covariance=lifted @ given.covariance @ lifted.T,
        curves=np.array(curves),
        rising=np.array(rising),
        variance=given.variance,
    )


def _grid(near: NearRuns, i: int) -> _Grid:
    z = np.linspace(*near.ends(i), POINTS)
    return z, near.rows(z, i), near.rows(z, i, 1)


def _student(t: np.ndarray, freedom: float) -> np.ndarray:
    return special.stdtr(max(freedom, 1), t) if np.isfinite(freedom) else special.ndtr(t)


def _mixed(
    weights: np.ndarray,
    found: list[_Minima],
    near: NearRuns,
    grids: list[_Grid],
    freedom: float,
) -> Shapes:
    """The average over tau: its covariances add the spread of what the taus give."""
    at = np.array([one.positions for one in found])
    finite = np.isfinite(at)
    share = (weights[:, None] * finite).sum(axis=0)
    total = (weights[:, None] * np.where(finite, at, 0)).sum(axis=0)
    # A minimum that most of the weight does not see is none.
    positions = np.where(share > 0.5, total / np.where(share > 0, share, 1), np.nan)
    heights = weights @ np.array([one.heights for one in found])
    n = near.n_budgets
    covariance, height_covariance = np.zeros((n, n)), np.zeros((n, n))
    for weight, one in zip(weights, found, strict=True):
        off = np.nan_to_num(one.positions - positions)
        covariance += weight * (one.position_covariance + np.outer(off, off))
        up = one.heights - heights
        height_covariance += weight * (one.height_covariance + np.outer(up, up))
    curves = np.exp(np.tensordot(weights, np.array([one.curves for one in found]), axes=1))
    rising = np.tensordot(weights, np.array([one.rising for one in found]), axes=1)
    shapes = []
    for i, (z, centre) in enumerate(zip(positions, near.centres, strict=True)):
        grid = grids[i][0]
        sigma = float(np.sqrt(covariance[i, i])) if np.isfinite(z) else float("nan")
        low, high = _crossings(grid, rising[i], float(z))
        shapes.append(
            Shape(
                coefficients=np.stack([grid + centre, curves[i]]),
                position=float(z + centre),
                height=float(np.exp(heights[i])),
                sigma=sigma,
                interval=(low + centre, high + centre),
            )
        )
    noise = float(np.sqrt(weights @ np.array([one.variance for one in found])))
    return Shapes(tuple(shapes), covariance, height_covariance, noise, freedom, "softened")


def _crossings(grid: np.ndarray, rising: np.ndarray, z: float) -> tuple[float, float]:
    """Where the profile's slope is surely negative below z, and surely positive above it.

    With few runs near a flat minimum this is much wider on one side than z +- its error. Infinite
    where the runs end first; NaN without a minimum.
    """
    if not np.isfinite(z):
        return float("nan"), float("nan")
    below = np.flatnonzero((grid < z) & (rising < 0.025))
    above = np.flatnonzero((grid > z) & (rising > 0.975))
    low, high = -np.inf, np.inf
    if len(below):
        pair = slice(below[-1], below[-1] + 2)
        low = float(np.interp(0.025, rising[pair], grid[pair]))
    if len(above):
        pair = slice(above[0] - 1, above[0] + 1)
        high = float(np.interp(0.975, rising[pair], grid[pair]))
    return low, high
