"""Scales of M-estimators with Huber's loss: what turns a rise of the objective into a deviance.

Twice the rise of the objective, divided by `residual_scale`, tends to a chi-squared with one degree
of freedom as one quantity is held off its optimum; Student's t squared stands in for it with few
runs.
"""

import numpy as np
from scipy import stats


def curvature(r: np.ndarray, weights: np.ndarray, delta: float, above: float = 1.0) -> float:
    """E[psi'] at residuals: delta times their density at 0, under a narrow loss.

    The density is read from a window about 0 that holds enough residuals.

    Args:
        r: Residuals, shape (runs,).
        weights: One-sided weights of them, shape (runs,).
        delta: Width of the Huber loss, inf for least squares.
        above: Weight of the runs above the law, which `weights` hold already.
    """
    if np.isinf(delta):
        return float(np.mean(weights))
    r, n_runs = np.abs(r), len(r)
    window = max(delta, 1.06 * float(np.median(r)) / 0.6745 * n_runs**-0.2)
    if window > delta:
        # One-sided weights meet at 0 in equal parts; in the window more runs may lie on one side.
        weights = np.full(n_runs, (1 + above) / 2)
    return max(float(np.mean(weights * (r <= window))), 1 / n_runs) * delta / window


def residual_scale(
    r: np.ndarray, weights: np.ndarray, delta: float, n_free: int, above: float = 1.0
) -> float:
    """E[psi^2] / E[psi'] at residuals, with runs - n_free degrees of freedom."""
    freedom = max(len(r) - n_free, 1)
    square = float(np.sum((weights * np.clip(r, -delta, delta)) ** 2)) / freedom
    return max(square, 1e-300) / curvature(r, weights, delta, above)


def deviance_bound(n_runs: int, n_free: int, level: float = 0.95) -> float:
    """The deviance that ends a profile's interval: Student's t squared."""
    return float(stats.t.ppf(0.5 + level / 2, df=max(n_runs - n_free, 1))) ** 2


def crossing(held: np.ndarray, deviance: np.ndarray, bound: float) -> float:
    """Where the deviance first exceeds the bound going outward; infinite if it never does."""
    beyond = np.flatnonzero(deviance > bound)
    outward = np.sign(held[-1] - held[0])
    if not len(beyond):
        return float(outward * np.inf)
    if beyond[0] == 0:
        # Without noise the fit's own deviance is rounding, and exceeds any bound.
        return float(held[0])
    root = np.sqrt(deviance)
    k = int(beyond[0])
    share = (np.sqrt(bound) - root[k - 1]) / (root[k] - root[k - 1])
    return float(held[k - 1] + share * (held[k] - held[k - 1]))
