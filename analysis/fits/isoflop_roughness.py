"""A random roughness on top of skewed parabolas: which runs it sees, its evidence, its posterior.

In z = log N about a pilot minimum, log L = c + b z + c2 z^2 + s q z^3 + g(z) + noise. q is the
budget's curvature; the second derivative of g is q tau times a Brownian motion that starts from 0
at z = 0 and whose steps grow with the rise of the profile, so g takes little from the minimum and
much from runs far away. Cov(g_i, g_j) over budgets follows `between`.

Everything is linear: y = X theta + W u + noise, u ~ N(0, tau^2 between (x) 1). One eigen-
decomposition of W u's covariance, seen by the contrasts that X leaves, serves every tau.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.fits.isoflop_shapes import Profiles

PILOT, WINDOW, LEAST = 0.06, 0.4, 5
"""Rise of log L within which runs count for the pilot and for the fit, and the least number of
model sizes that always do."""
GROWTH = 0.05
"""Rise of log L at which the steps of the Brownian motion have doubled."""
SHARED, FADE, DRIFT = 0.3, 3.0, 0.1
"""Covariance of the deviations of two budgets: what all share; misfit that fades over e^3 of
compute; and one that drifts steadily (variance per squared e-fold of compute)."""
STEPS = 10
"""Steps of the Brownian motion on each side of the minimum."""


@dataclass(frozen=True)
class NearRuns:
    """The runs near the minima, about pilot minima.

    `z`, `y` (log L) and `budget` are (runs,); `centres` and `curvature` (budgets,); `reach` is the
    largest |z|.
    """

    z: np.ndarray
    y: np.ndarray
    budget: np.ndarray
    centres: np.ndarray
    curvature: np.ndarray
    reach: float

    @property
    def n_budgets(self) -> int:
        return len(self.centres)

    @property
    def n_polynomial(self) -> int:
        """Parameters of the polynomials: three per budget and the skewness."""
        return 3 * self.n_budgets + 1

    def rows(self, z: np.ndarray, i: int, order: int = 0) -> np.ndarray:
        """What budget i's own coefficients add up to at z, or to a derivative there.

        Returns: (points, 4 + 2 STEPS): c, b, c2, s and the steps of the Brownian motion.
        """
        one, zero = np.ones_like(z), np.zeros_like(z)
        polynomial = ((one, z, z**2), (zero, one, 2 * z), (zero, zero, 2 * one))[order]
        skew = self.curvature[i] * (z**3, 3 * z**2, 6 * z)[order]
        step = self.reach / STEPS
        t = (np.arange(STEPS) + 0.5) * step
        beyond = np.abs(z)[:, None] - t
        ramp = np.maximum(beyond, 0)
        walk = (ramp**2 / 2, ramp * np.sign(z)[:, None], (beyond > 0) * 1.0)[order]
        growth = np.minimum(1 + self.curvature[i] * t**2 / GROWTH, 1e3)
        walk = walk * self.curvature[i] * np.sqrt(step) * growth
        sides = [walk * (z > 0)[:, None], walk * (z <= 0)[:, None]]
        return np.concatenate([np.stack([*polynomial, skew], axis=1), *sides], axis=1)

    def slots(self, i: int) -> np.ndarray:
        """Where budget i's own coefficients stand among all of them, (4 + 2 STEPS,)."""
        walk = self.n_polynomial + 2 * STEPS * i + np.arange(2 * STEPS)
        return np.concatenate([3 * i + np.arange(3), [self.n_polynomial - 1], walk])

    def ends(self, i: int) -> tuple[float, float]:
        """The smallest and the largest z of budget i."""
        own = self.z[self.budget == i]
        return float(own.min()), float(own.max())

    @cached_property
    def design(self) -> np.ndarray:
        """What all coefficients add up to at the runs, (runs, parameters + budgets 2 STEPS)."""
        width = self.n_polynomial + 2 * STEPS * self.n_budgets
        design = np.zeros((len(self.z), width))
        for i in range(self.n_budgets):
            mine = np.flatnonzero(self.budget == i)
            design[np.ix_(mine, self.slots(i))] = self.rows(self.z[mine], i)
        return design


def near_minima(logs: Profiles) -> NearRuns:
    """The runs that inform the minima, and where and how curved those seem to be.

    Args:    logs: for each budget log N, ascending, and log L.
    """
    centres, curvature = _pilot(logs)
    kept = [_window(x, y, centre, WINDOW) for (x, y), centre in zip(logs, centres, strict=True)]
    z = [x[k] - c for (x, _), k, c in zip(logs, kept, centres, strict=True)]
    return NearRuns(
        z=np.concatenate(z),
        y=np.concatenate([y[k] for (_, y), k in zip(logs, kept, strict=True)]),
        budget=np.repeat(np.arange(len(z)), [len(own) for own in z]),
        centres=centres,
        curvature=curvature,
        reach=max(float(np.abs(own).max()) for own in z),
    )


def _window(x: np.ndarray, y: np.ndarray, centre: float, rise: float) -> np.ndarray:
    """Runs of a loss within `rise` of the least, and always those of the nearest sizes."""
    sizes = np.unique(x)
    nearest = sizes[np.argsort(np.abs(sizes - centre), kind="stable")[:LEAST]]
    return np.isin(x, nearest) | (y < y.min() + rise)


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
    # A budget's own parabola may be nearly flat by chance.
    middle = float(np.median(curvature))
    return np.array(centres), np.clip(curvature, middle / 3, middle * 3)


def correlation(log_flops: np.ndarray) -> np.ndarray:
    """Covariance of the deviations of budgets at tau = 1, (budgets, budgets)."""
    fading = np.exp(-np.abs(log_flops[:, None] - log_flops) / FADE)
    t = log_flops - log_flops.mean()
    return SHARED + fading + DRIFT * np.outer(t, t)


@dataclass(frozen=True)
class Coefficients:
    """All coefficients under one tau: means, and their covariance, (k,) and (k, k)."""

    mean: np.ndarray
    covariance: np.ndarray
    variance: float


class Roughness:
    """The runs' evidence on tau, and the coefficients given one."""

    def __init__(self, near: NearRuns, between: np.ndarray, noise: float | None) -> None:
        """Args:    between: (budgets, budgets); noise: standard deviation of log L, when known.

        Raises:  LinAlgError: the runs do not determine the polynomials, or leave none to spare.
        """
        n_poly = near.n_polynomial
        self.spare = len(near.y) - n_poly
        design, y, self.rss_within = _compressed(near)
        if self.spare < 1 or np.linalg.matrix_rank(design[:, :n_poly]) < n_poly:
            raise np.linalg.LinAlgError("runs do not determine the skewed parabolas")
        steps = np.kron(between, np.eye(2 * STEPS))
        basis, upper = np.linalg.qr(design[:, :n_poly], mode="complete")
        self.inverse = np.linalg.solve(upper[:n_poly], basis[:, :n_poly].T)
        self.prior = steps
        # (rows, steps): covariance of the rows with the steps, and of the rows with each other.
        self.rows_steps = design[:, n_poly:] @ steps
        self.rows_rows = self.rows_steps @ design[:, n_poly:].T
        contrast = basis[:, n_poly:]
        values, vectors = np.linalg.eigh(contrast.T @ self.rows_rows @ contrast)
        self.values, self.contrast = np.maximum(values, 0), contrast @ vectors
        self.y, self.seen = y, self.contrast.T @ y
        self.noise = noise
        smooth = float(np.sqrt((self.seen @ self.seen + self.rss_within) / self.spare))
        self.unit = noise if noise is not None else max(min(smooth, _third_differences(near)), 1e-4)

    def _rss(self, tau: float) -> tuple[np.ndarray, float]:
        scale = 1 + (tau / self.unit) ** 2 * self.values
        return scale, max(float(np.sum(self.seen**2 / scale)) + self.rss_within, 1e-300)

    def evidence(self, tau: float) -> float:
        """Log marginal likelihood (restricted: free of the polynomials), up to a constant."""
        scale, rss = self._rss(tau)
        fit = -self.spare / 2 * np.log(rss) if self.noise is None else -rss / (2 * self.noise**2)
        return float(fit - np.log(scale).sum() / 2)

    def coefficients(self, tau: float) -> Coefficients:
        """Their posterior, of flat priors on the polynomials."""
        scale, rss = self._rss(tau)
        f = (tau / self.unit) ** 2
        variance = self.noise**2 if self.noise is not None else rss / self.spare
        residual = self.contrast @ (self.seen / scale)
        theta = self.inverse @ (self.y - f * self.rows_rows @ residual)
        steps = f * self.rows_steps.T @ residual
        seen_rows = self.inverse @ self.rows_rows
        through = (seen_rows @ self.contrast) / scale
        steps_seen = self.contrast.T @ self.rows_steps
        own = self.inverse @ self.inverse.T + f * seen_rows @ self.inverse.T
        own -= f**2 * through @ (seen_rows @ self.contrast).T
        cross = -f * (self.inverse @ self.rows_steps - f * through @ steps_seen)
        walk = f * self.prior - f**2 * (steps_seen.T / scale) @ steps_seen
        covariance = variance * np.block([[own, cross], [cross.T, walk]])
        return Coefficients(np.concatenate([theta, steps]), covariance, variance)


def _compressed(near: NearRuns) -> tuple[np.ndarray, np.ndarray, float]:
    """Design and log L with each budget's runs turned into as many rows as it has coefficients.

    An orthogonal turn changes no likelihood; what it leaves out is pure scatter, whose sum of
    squares is the third result. Without it thousands of runs would need a square matrix of them.
    """
    designs, targets, left = [], [], 0.0
    for i in range(near.n_budgets):
        mine, slots = near.budget == i, near.slots(i)
        design, y = near.design[mine], near.y[mine]
        if len(y) > len(slots):
            turn, upper = np.linalg.qr(design[:, slots])
            small = np.zeros((len(slots), design.shape[1]))
            small[:, slots] = upper
            left += float(y @ y - np.sum((turn.T @ y) ** 2))
            design, y = small, turn.T @ y
        designs.append(design)
        targets.append(y)
    return np.concatenate(designs), np.concatenate(targets), max(left, 0.0)


def _third_differences(near: NearRuns) -> float:
    """Noise from third differences of neighbouring sizes, which no smooth profile has; infinite
    with fewer than three.
    """
    squares = []
    for i in range(near.n_budgets):
        z, y = near.z[near.budget == i], near.y[near.budget == i]
        sizes, which, counts = np.unique(z, return_inverse=True, return_counts=True)
        means = np.bincount(which, y) / counts
        for j in range(len(sizes) - 3):
            four = slice(j, j + 4)
            if np.ptp(means[four]) <= 0.1:
                gaps = sizes[four, None] - sizes[four] + np.eye(4)
                weights = 1 / gaps.prod(axis=1)
                squares.append((weights @ means[four]) ** 2 / (weights**2 @ (1 / counts[four])))
    # .455 is the median of chi-squared with one degree of freedom.
    return float(np.sqrt(np.median(squares) / 0.455)) if len(squares) >= 3 else np.inf
