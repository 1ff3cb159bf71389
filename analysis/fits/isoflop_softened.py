"""The "softened" IsoFLOP profile: the skewed parabola plus a small random roughness.

Far from a minimum real profiles stray from any polynomial: short runs of large models train badly.
In z = log N about a pilot minimum, log L = c + b z + c2 z^2 + s q z^3 + g(z) + noise, where the
second derivative of g is a Brownian motion that starts from 0 at z = 0. So far runs inform the
minimum only as much as the roughness lets them. Its size tau is averaged over by marginal
likelihood; tau = 0 is the skewed parabola. Deviations are correlated over budgets, since misfit
drifts with compute, and a drift is what biases the exponent.
"""

from dataclasses import dataclass

import numpy as np

from analysis.fits.isoflop_shapes import Profiles, Shape, Shapes

PILOT, WINDOW, LEAST = 0.06, 0.12, 5
"""Rise of log L within which runs count for the pilot and for the fit, and the least number of
runs: .12 is 10 to 30 times usual seed noise, a factor 4 to 8 in N on each side."""
TAUS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
SHARED_TAUS = (0.0, 0.3, 1.0)
"""Roughness of a budget's own deviation and of one that all share. At .8 the curvature changes by
40 % (SD) over a factor e of N."""
STEPS = 10
"""Steps of the Brownian motion on each side of the minimum."""
POINTS = 301


@dataclass(frozen=True)
class _Problem:
    """Runs about the pilot minima: `z`, `y` and `budget` (runs,), designs, and how far g reaches.

    `design` (runs, parameters) is of the polynomials, `walk` (runs, 2 STEPS) of the roughness.
    """

    z: np.ndarray
    y: np.ndarray
    budget: np.ndarray
    design: np.ndarray
    walk: np.ndarray
    curvature: np.ndarray
    reach: float

    def rows(self, z: np.ndarray, i: int, order: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Rows of both designs, or of a derivative of them, for points of budget i."""
        return _rows(z, i, order, self.curvature, self.reach)


@dataclass(frozen=True)
class _Posterior:
    """Minima under one roughness: positions and heights, their covariances, and curves."""

    positions: np.ndarray
    heights: np.ndarray
    position_covariance: np.ndarray
    height_covariance: np.ndarray
    curves: np.ndarray
    variance: float


def fit_softened(profiles: Profiles, log_flops: np.ndarray, noise: float | None = None) -> Shapes:
    """Fit all profiles of a grid.

    A shape's coefficients are x and the fitted loss on a fine grid of the window, (2, POINTS).

    Args:    log_flops: log of each profile's budget, (budgets,); noise: relative standard deviation
             of the loss between seeds, estimated when None.
    """
    logs = [(x[order := np.argsort(x, kind="stable")], np.log(loss[order])) for x, loss in profiles]
    centres, curvature = _pilot(logs)
    kept = [_window(x, y, centre) for (x, y), centre in zip(logs, centres, strict=True)]
    z = [x[k] - c for (x, _), k, c in zip(logs, kept, centres, strict=True)]
    y = np.concatenate([y[k] for (_, y), k in zip(logs, kept, strict=True)])
    reach = max(float(np.abs(own).max()) for own in z)
    rows = [_rows(own, i, 0, curvature, reach) for i, own in enumerate(z)]
    design, walk = (np.concatenate(part) for part in zip(*rows, strict=True))
    budget = np.repeat(np.arange(len(z)), [len(own) for own in z])
    problem = _Problem(np.concatenate(z), y, budget, design, walk, curvature, reach)
    spare = len(y) - design.shape[1]
    unit = noise if noise is not None else _pilot_noise(logs, problem, spare)
    weights, posteriors = _posteriors(problem, _correlation(log_flops), unit, noise is not None)
    return _mixed(weights, posteriors, problem, centres, float(spare) if noise is None else np.inf)


def enough_runs(profiles: Profiles) -> bool:
    """Whether runs near the minima outnumber the parameters, so that noise can be estimated."""
    logs = [(np.sort(x), np.log(loss[np.argsort(x, kind="stable")])) for x, loss in profiles]
    centres, _ = _pilot(logs)
    kept = sum(int(_window(x, y, c).sum()) for (x, y), c in zip(logs, centres, strict=True))
    return kept > 3 * len(profiles) + 1


def _window(x: np.ndarray, y: np.ndarray, centre: float, rise: float = WINDOW) -> np.ndarray:
    near = np.zeros(len(x), dtype=bool)
    near[np.argsort(np.abs(x - centre), kind="stable")[:LEAST]] = True
    return near | (y < y.min() + rise)


def _pilot(logs: Profiles) -> tuple[np.ndarray, np.ndarray]:
    """Centre and curvature of each profile, from a parabola through the runs near its least."""
    centres, curvature = [], []
    for x, y in logs:
        lowest = float(x[y.argmin()])
        near = _window(x, y, lowest, PILOT)
        square, linear, _ = np.polyfit(x[near] - lowest, y[near], 2)
        centre = lowest - linear / (2 * square) if square > 0 else np.nan
        inside = x[near].min() <= centre <= x[near].max()
        centres.append(centre if inside else lowest)
        curvature.append(max(abs(square), 1e-6))
    middle = float(np.median(curvature))
    return np.array(centres), np.clip(curvature, middle / 3, middle * 3)


def _rows(
    z: np.ndarray, i: int, order: int, curvature: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    design = np.zeros((len(z), 3 * len(curvature) + 1))
    one, zero = np.ones_like(z), np.zeros_like(z)
    own = ((one, z, z**2), (zero, one, 2 * z), (zero, zero, 2 * one))[order]
    design[:, 3 * i : 3 * i + 3] = np.stack(own, axis=1)
    design[:, -1] = curvature[i] * (z**3, 3 * z**2, 6 * z)[order]
    step = reach / STEPS
    beyond = np.abs(z)[:, None] - (np.arange(STEPS) + 0.5) * step
    ramp = np.maximum(beyond, 0)
    walk = (ramp**2 / 2, ramp * np.sign(z)[:, None], (beyond > 0) * 1.0)[order]
    walk = walk * curvature[i] * np.sqrt(step)
    return design, np.concatenate([walk * (z > 0)[:, None], walk * (z <= 0)[:, None]], axis=1)


def _correlation(log_flops: np.ndarray) -> np.ndarray:
    """Of the deviations of budgets: misfit that fades over e^3 of compute, and one that drifts."""
    gap = np.abs(log_flops[:, None] - log_flops)
    t = (log_flops - log_flops.mean()) / max(float(log_flops.std()), 1e-9)
    return np.exp(-gap / 3) + 0.5 * np.outer(t, t)


def _pilot_noise(logs: Profiles, problem: _Problem, spare: int) -> float:
    """The lesser of the scatter about the skewed parabolas and that of third differences."""
    theta = np.linalg.lstsq(problem.design, problem.y, rcond=None)[0]
    scatter = float(np.sqrt(np.sum((problem.y - problem.design @ theta) ** 2) / spare))
    squares = []
    for x, y in logs:
        sizes = np.unique(x)
        means = np.array([y[x == size].mean() for size in sizes])
        for j in range(len(sizes) - 3):
            if np.ptp(means[j : j + 4]) <= 0.1:
                gaps = sizes[j : j + 4, None] - sizes[j : j + 4] + np.eye(4)
                weights = 1 / gaps.prod(axis=1)
                squares.append((weights @ means[j : j + 4]) ** 2 / (weights @ weights))
    # .455 is the median of chi-squared with one degree of freedom.
    rough = float(np.sqrt(np.median(squares) / 0.455)) if len(squares) >= 3 else np.inf
    return max(min(scatter, rough), 1e-4)


def _posteriors(
    problem: _Problem, correlation: np.ndarray, unit: float, known: bool
) -> tuple[np.ndarray, list[_Posterior]]:
    """Minima for each roughness that the runs support, and its weight."""
    spare = len(problem.y) - problem.design.shape[1]
    tried = []
    for tau in TAUS:
        for shared in SHARED_TAUS:
            between = (shared**2 + tau**2 * correlation) / unit**2
            own = between[np.ix_(problem.budget, problem.budget)]
            root = np.linalg.cholesky(np.eye(len(own)) + own * (problem.walk @ problem.walk.T))
            x, y = np.linalg.solve(root, problem.design), np.linalg.solve(root, problem.y)
            inverse = np.linalg.inv(x.T @ x)
            theta = inverse @ (x.T @ y)
            rss = max(float(np.sum((y - x @ theta) ** 2)), 1e-300)
            fit = -rss / (2 * unit**2) if known else -spare / 2 * np.log(rss)
            volume = np.log(np.diag(root)).sum() - np.linalg.slogdet(inverse)[1] / 2
            variance = unit**2 if known else rss / spare
            tried.append((fit - volume, (between, root, x, y, theta, inverse, variance)))
    evidence = np.array([score for score, _ in tried])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    heavy = weights > 0.01
    kept = [_read(problem, *parts) for (_, parts), keep in zip(tried, heavy, strict=True) if keep]
    return weights[heavy] / weights[heavy].sum(), kept


def _read(
    problem: _Problem,
    between: np.ndarray,
    root: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    theta: np.ndarray,
    inverse: np.ndarray,
    variance: float,
) -> _Posterior:
    """Minima of the posterior mean and the posterior covariances of slope and value there."""
    residual = np.linalg.solve(root.T, y - x @ theta)
    n_budgets = len(between)
    positions, heights = np.full(n_budgets, np.nan), np.zeros(n_budgets)
    curvature, curves = np.ones(n_budgets), []
    rows: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {0: [], 1: []}
    for i in range(n_budgets):
        path = problem.walk.T @ (between[i][problem.budget] * residual)
        grid = _grid(problem, i)
        design, walk = problem.rows(grid, i)
        curve = design @ theta + walk @ path
        curves.append(curve)
        j, at = int(curve.argmin()), float(grid[curve.argmin()])
        if 0 < j < len(grid) - 1:
            bend = curve[j - 1] - 2 * curve[j] + curve[j + 1]
            if bend > 0:
                at += 0.5 * (grid[1] - grid[0]) * (curve[j - 1] - curve[j + 1]) / bend
            positions[i] = at
        point = np.array([at])
        for order, kept in rows.items():
            kept.append(tuple(part[0] for part in problem.rows(point, i, order)))
        heights[i] = rows[0][i][0] @ theta + rows[0][i][1] @ path
        design, walk = problem.rows(point, i, 2)
        # A floor, since a rough path may be nearly flat at its least point.
        curvature[i] = max(float((design @ theta + walk @ path)[0]), 0.2 * problem.curvature[i])
    spread = []
    for order in (0, 1):
        design, walk = (np.array(part) for part in zip(*rows[order], strict=True))
        to_runs = (problem.walk @ walk.T) * between[problem.budget]
        seen = np.linalg.solve(root, to_runs)
        left = design.T - x.T @ seen
        prior = (walk @ walk.T) * between
        spread.append(variance * (prior - seen.T @ seen + left.T @ inverse @ left))
    position_covariance = spread[1] / np.outer(curvature, curvature)
    return _Posterior(
        positions, heights, position_covariance, spread[0], np.array(curves), variance
    )


def _grid(problem: _Problem, i: int) -> np.ndarray:
    own = problem.z[problem.budget == i]
    return np.linspace(own.min(), own.max(), POINTS)


def _mixed(
    weights: np.ndarray,
    posteriors: list[_Posterior],
    problem: _Problem,
    centres: np.ndarray,
    freedom: float,
) -> Shapes:
    """The average over roughness: its covariance adds the spread of what they say."""
    found = np.array([posterior.positions for posterior in posteriors])
    finite = np.isfinite(found)
    share = (weights[:, None] * finite).sum(axis=0)
    total = (weights[:, None] * np.where(finite, found, 0)).sum(axis=0)
    # A minimum that most of the weight does not see is none.
    positions = np.where(share > 0.5, total / np.where(share > 0, share, 1), np.nan)
    heights = weights @ np.array([posterior.heights for posterior in posteriors])
    covariance = np.zeros((len(centres), len(centres)))
    height_covariance = np.zeros_like(covariance)
    for weight, own in zip(weights, posteriors, strict=True):
        off = own.positions - positions
        off = np.where(np.isfinite(off), off, 0)
        covariance += weight * (own.position_covariance + np.outer(off, off))
        up = own.heights - heights
        height_covariance += weight * (own.height_covariance + np.outer(up, up))
    curves = np.exp(np.tensordot(weights, np.array([p.curves for p in posteriors]), axes=1))
    shapes = []
    for i, centre in enumerate(centres):
        sigma = float(np.sqrt(covariance[i, i])) if np.isfinite(positions[i]) else float("nan")
        path = np.stack([_grid(problem, i) + centre, curves[i]])
        shapes.append(Shape(path, float(positions[i] + centre), float(np.exp(heights[i])), sigma))
    noise = float(np.sqrt(weights @ np.array([posterior.variance for posterior in posteriors])))
    return Shapes(tuple(shapes), covariance, height_covariance, noise, freedom, "softened")
