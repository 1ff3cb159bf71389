"""Where a cell's loss is least in learning rate and batch: a parabola in their logarithms.

The response is steep above the best rate and flat below it, so that a parabola through all settings
is biased: only the settings nearest to the best run are fitted, and the cell's optimum counts where
the parabola opens upwards and has its vertex among them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from analysis.stats.resampling import Interval

NEAREST = {1: 2, 2: 3}
"""Settings that are fitted, in parameters of the parabola (3 of one setting, 6 of two), by how many
settings were swept: a lopsided response bends a parabola through more than six rates; two settings
have more points nearby, and their parabola is lost in noise with fewer (benchmarks)."""

N_DRAWS = 400
NONE: Interval = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Optimum:
    """The best settings of one cell, in logarithms.

    Attributes:
        at: Their logarithms, (settings,); of the best run where there is no vertex.
        intervals: 95 % of each, from the scatter of the runs about the parabola, within the range
            that was tried.
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
    n_near = max(NEAREST[x.shape[1]] * n_terms, n_terms + 1)
    # Once more about the first vertex: the settings about the best run have its luck in them.
    first = _parabola(x, log_loss, x[best], scale, n_near)
    made = first and _parabola(x, log_loss, first.vertex, scale, n_near)
    if made is None:
        reason = "the parabola about the best run has no minimum among the settings it fits"
        return Optimum(x[best], unknown, float(log_loss[best]), flat, reason)
    freedom = min(n_near, len(x)) - n_terms
    normal = rng.multivariate_normal(np.zeros(n_terms), made.covariance, N_DRAWS, method="cholesky")
    drawn, bent = _vertex(made.values + normal * t.ppf(0.975, freedom) / 1.96)
    opens = np.linalg.eigvalsh(bent).min(axis=1) > 0
    drawn = _bounded(made.centre + drawn * scale, opens, x)
    intervals = tuple(_ends(column) for column in drawn.T)
    return Optimum(made.vertex, intervals, made.least, made.curvature)


@dataclass(frozen=True)
class Parabola:
    """A parabola with a minimum: coefficients about a centre, their covariance, its vertex."""

    values: np.ndarray
    covariance: np.ndarray
    centre: np.ndarray
    vertex: np.ndarray
    least: float
    curvature: np.ndarray


def _parabola(
    x: np.ndarray, log_loss: np.ndarray, centre: np.ndarray, scale: np.ndarray, n_near: int
) -> Parabola | None:
    """The parabola through the settings nearest to a centre; None without a minimum among them."""
    z = (x - centre) / scale
    near = np.argsort((z**2).sum(axis=1), kind="stable")[:n_near]
    design = _quadratic(z[near])
    values, _, rank, _ = np.linalg.lstsq(design, log_loss[near], rcond=None)
    if rank < design.shape[1]:
        return None
    vertex, hessian = _vertex(values[None])
    inside = np.stack([vertex[0] - z[near].min(axis=0), z[near].max(axis=0) - vertex[0]])
    if float(np.linalg.eigvalsh(hessian[0]).min()) <= 0 or float(inside.min()) < 0:
        return None
    left = log_loss[near] - design @ values
    variance = float(left @ left) / (len(near) - design.shape[1])
    return Parabola(
        values,
        variance * np.linalg.inv(design.T @ design),
        centre,
        centre + vertex[0] * scale,
        float((_quadratic(vertex) @ values)[0]),
        np.diag(hessian[0]) / scale**2,
    )


def _bounded(draws: np.ndarray, opens: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Drawn optima within what was tried; draws without a minimum lie at either end of it."""
    low, high = x.min(axis=0), x.max(axis=0)
    ends = np.where((np.arange(len(draws)) % 2 == 0)[:, None], low, high)
    return np.where(opens[:, None], np.clip(draws, low, high), ends)


def _ends(draws: np.ndarray) -> Interval:
    low, high = np.quantile(draws, (0.025, 0.975))
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
