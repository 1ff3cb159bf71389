"""Where a cell's loss is least in learning rate and batch: a parabola in their logarithms.

The response is steep above the best rate and flat below it, so that a parabola through all settings
is biased: only the settings nearest to the best run are fitted, and the cell's optimum counts where
the parabola opens upwards and has its vertex among them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from analysis.stats.resampling import Interval

NEAREST = 3
"""Settings that are fitted, in parameters of the parabola (3 in one dimension, 6 in two)."""

N_DRAWS = 400
NONE: Interval = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Optimum:
    """The best settings of one cell, in logarithms.

    Attributes:
        at: Their logarithms, (settings,); of the best run where there is no vertex.
        intervals: 95 % of each, from the scatter of the runs about the parabola.
        log_loss: Log loss there.
        curvature: Second derivative of log loss in each, (settings,).
        reason: Why it is no optimum inside the sweep; empty where it is one.
    """

    at: np.ndarray
    intervals: tuple[Interval, ...]
    log_loss: float
    curvature: np.ndarray
    reason: str = ""


def find_optimum(x: np.ndarray, log_loss: np.ndarray, rng: np.random.Generator) -> Optimum:
    """The optimum of one cell.

    Args:
        x: Logarithms of the settings, (runs, settings).
        log_loss: (runs,).
        rng: For the redrawn parabolas that give the intervals.
    """
    n_terms = (x.shape[1] + 1) * (x.shape[1] + 2) // 2
    best = int(log_loss.argmin())
    unknown = (NONE,) * x.shape[1]
    flat = np.full(x.shape[1], np.nan)
    if len(x) <= n_terms:
        reason = f"{len(x)} runs, and a parabola takes {n_terms + 1}"
        return Optimum(x[best], unknown, float(log_loss[best]), flat, reason)
    for k in range(x.shape[1]):
        if x[best, k] in (x[:, k].min(), x[:, k].max()):
            end = "least" if x[best, k] == x[:, k].min() else "largest"
            reason = f"the best run has the {end} {'rate' if k == 0 else 'batch'} that was tried"
            return Optimum(x[best], unknown, float(log_loss[best]), flat, reason)
    scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    z = (x - x[best]) / scale
    near = np.argsort((z**2).sum(axis=1), kind="stable")[: max(NEAREST * n_terms, n_terms + 1)]
    design = _quadratic(z[near])
    values, _, rank, _ = np.linalg.lstsq(design, log_loss[near], rcond=None)
    if rank < n_terms:
        reason = "the settings nearest to the best run do not determine a parabola"
        return Optimum(x[best], unknown, float(log_loss[best]), flat, reason)
    left = log_loss[near] - design @ values
    freedom = len(near) - n_terms
    covariance = float(left @ left) / freedom * np.linalg.inv(design.T @ design)
    vertex, hessian = _vertex(values[None])
    low, high = z[near].min(axis=0), z[near].max(axis=0)
    inside = bool(np.all((vertex[0] >= low) & (vertex[0] <= high)))
    if not (np.all(np.linalg.eigvalsh(hessian[0]) > 0) and inside):
        reason = "the parabola about the best run has no minimum among the settings that it fits"
        return Optimum(x[best], unknown, float(log_loss[best]), flat, reason)
    normal = rng.multivariate_normal(np.zeros(n_terms), covariance, N_DRAWS, method="cholesky")
    drawn, bent = _vertex(values + normal * t.ppf(0.975, freedom) / 1.96)
    drawn = np.where((np.linalg.eigvalsh(bent) > 0).all(axis=1)[:, None], drawn, np.nan)
    at = x[best] + vertex[0] * scale
    intervals = tuple(_interval(x[best, k] + drawn[:, k] * scale[k]) for k in range(len(at)))
    least = float((_quadratic(vertex) @ values)[0])
    return Optimum(at, intervals, least, np.diag(hessian[0]) / scale**2)


def _interval(draws: np.ndarray) -> Interval:
    """Central 95 %; a draw without a minimum counts as one beyond either end."""
    finite = draws[np.isfinite(draws)]
    if len(finite) < 0.9 * len(draws):
        return NONE
    low, high = np.quantile(finite, (0.025, 0.975))
    return float(low), float(high)


def _vertex(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stationary points (rows, settings) and Hessians of parabolas, by their coefficients."""
    n = {3: 1, 6: 2}[values.shape[1]]
    i, j = np.triu_indices(n)
    hessian = np.zeros((len(values), n, n))
    for column, (a, b) in enumerate(zip(i, j, strict=True)):
        hessian[:, a, b] += values[:, 1 + n + column]
        hessian[:, b, a] += values[:, 1 + n + column]
    slopes = values[:, 1 : 1 + n]
    determined = np.abs(np.linalg.det(hessian)) > 1e-12
    hessian[~determined] = np.eye(n)
    return -np.linalg.solve(hessian, slopes[:, :, None])[:, :, 0], hessian


def _quadratic(z: np.ndarray) -> np.ndarray:
    """1, every z and every product of two of them, (runs, terms)."""
    i, j = np.triu_indices(z.shape[1])
    return np.concatenate([np.ones((len(z), 1)), z, z[:, i] * z[:, j]], axis=1)
