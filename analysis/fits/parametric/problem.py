"""The minimisation behind the parametric fit: what is minimised, within what, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from analysis.data.cost_law import SIX_ND, Cost
from analysis.errors import Status
from analysis.fits.parametric.huber import LogRuns, Penalty, derivatives, objective, residuals
from analysis.fits.surface import PARAMETERS, Surface
from analysis.stats.newton import Minimum, minimise

LEAST_WIDTH = 1e-10
"""delta = 0 asks for least absolute deviations: the Huber loss is narrowed to this width."""

DEGENERATE_CONDITION = 1e9
"""Above this condition number the runs do not tell the parameters apart."""


@dataclass(frozen=True)
class Problem:
    """Runs with weights (runs,), the Huber loss on their log residuals, and what is held fixed."""

    runs: LogRuns
    weights: np.ndarray
    delta: float = 1e-3
    reduction: str = "sum"
    above: float = 1.0
    fixed: Mapping[str, float] = field(default_factory=dict)
    cost: Cost = SIX_ND

    @property
    def penalty(self) -> Penalty:
        return Penalty(max(self.delta, LEAST_WIDTH), self.above)

    @cached_property
    def held(self) -> np.ndarray:
        """Which of the five parameters are fixed, (5,) of bool."""
        return np.array([name in self.fixed for name in PARAMETERS])

    @property
    def scale(self) -> float:
        """What the summed objective is divided by under `reduction`."""
        return float(self.weights.sum()) if self.reduction == "mean" else 1.0

    def surface(self, theta: np.ndarray) -> Surface:
        return self.runs.surface(theta, self.cost)

    def value(self, theta: np.ndarray) -> float:
        """The objective under `reduction` at one parameter vector; of |r| itself at delta 0."""
        if self.delta == 0:
            r = residuals(theta[None], self.runs)[0]
            weights = self.weights * np.where(r < 0, self.above, 1.0)
            return float(weights @ np.abs(r)) / self.scale
        return (
            float(objective(theta[None], self.runs, self.weights[None], self.penalty)[0])
            / self.scale
        )

    def with_fixed(self, starts: np.ndarray) -> np.ndarray:
        """Parameter vectors (batch, 5) with the fixed parameters set."""
        starts = starts.copy()
        for name, value in self.fixed.items():
            starts[:, PARAMETERS.index(name)] = _coordinate(name, value)
        return starts

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Search box for (e, a, b, alpha, beta); coefficients against the least loss, at the
        centre.

        Fixing A or B takes uncentred runs, where the coefficients themselves are searched.
        """
        low = float(np.log(self.runs.loss.min()))
        lower = np.array([low - np.log(1e4), low - np.log(1e6), low - np.log(1e6), 0.01, 0.01])
        upper = np.array([np.log(self.runs.loss.max()), low + np.log(1e6), low + np.log(1e6), 5, 5])
        if {"A", "B"} & self.fixed.keys():
            lower[1:3], upper[1:3] = -50.0, 150.0
        for name, value in self.fixed.items():
            index = PARAMETERS.index(name)
            lower[index] = upper[index] = _coordinate(name, value)
        return lower, upper

    def polish(
        self, starts: np.ndarray, weights: np.ndarray, factors: tuple[float, ...] = (30.0, 5.0, 1.0)
    ) -> Minimum:
        """Minima from every start, each with its row of weights, as the Huber loss narrows.

        Args:    starts: (batch, 5); weights: (batch, runs); factors: widths in units of delta.
        """
        penalty = self.penalty
        widths = [max(penalty.delta, 1e-3) * factor for factor in factors]
        while widths[-1] > penalty.delta * 1.001:
            widths.append(max(widths[-1] / 3, penalty.delta))
        end = None
        for width in widths:
            narrowed = Penalty(width, penalty.above)
            end = minimise(
                lambda theta, rows, p=narrowed: derivatives(theta, self.runs, weights[rows], p),
                starts if end is None else end.theta,
                self.bounds,
                self.held,
            )
        assert end is not None  # factors is never empty
        return end

    def condition(self, theta: np.ndarray) -> float:
        """Condition number of J'WJ over the free parameters, scaled to a unit diagonal."""
        free = ~self.held
        if not free.any():
            return 1.0
        hessian = squared_error_hessian(self.runs, theta, self.weights)[free][:, free]
        scale = 1 / np.sqrt(np.maximum(np.diag(hessian), 1e-300))
        return float(np.linalg.cond(hessian * scale[:, None] * scale[None, :]))

    def verdict(
        self, gradient: float, at_bound: np.ndarray, condition: float
    ) -> tuple[Status, str]:
        """The status of an end and its reason.

        Args:    gradient: largest free component, of the sum; at_bound: (5,) of bool.
        """
        stuck = [name for name, hit in zip(PARAMETERS, at_bound & ~self.held, strict=True) if hit]
        if stuck:
            return "bound_hit", f"{', '.join(stuck)} ran to the edge of what is searched"
        if condition > DEGENERATE_CONDITION:
            reason = f"the runs do not tell the parameters apart (condition {condition:.1e})"
            return "degenerate", reason
        # Least absolute deviations have a corner for an optimum, which rounding lets one approach.
        # Steps end at 1e-11, which at the curvature of few, noisy runs leaves a gradient of 2e-8.
        tolerance = 1e-7 if self.penalty.delta > 10 * LEAST_WIDTH else 1e-2
        if gradient > tolerance * float(self.weights.sum()) * self.penalty.delta:
            return "max_iterations", f"the gradient is still {gradient:.1e}"
        return "converged", ""


def squared_error_hessian(runs: LogRuns, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """J'WJ of the log residuals at one parameter vector, (5, 5)."""
    fitted = LogRuns(
        runs.u, runs.v, runs.y + residuals(theta[None], runs)[0], runs.u_mean, runs.v_mean
    )
    return derivatives(theta[None], fitted, weights[None], Penalty(delta=1e6))[2][0]


def count_basins(ends: Minimum) -> int:
    """Distinct ends: parameters that differ by more than 1e-3 count as another basin."""
    kept: list[np.ndarray] = []
    for theta in ends.theta[np.argsort(ends.value)]:
        if all(np.abs(theta - other).max() > 1e-3 for other in kept):
            kept.append(theta)
    return len(kept)


def _coordinate(name: str, value: float) -> float:
    return value if name in ("alpha", "beta") else float(np.log(max(value, 1e-30)))
