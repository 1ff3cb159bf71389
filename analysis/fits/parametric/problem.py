"""The minimisation behind the parametric fit: what is minimised, within what, and how it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from analysis.data.cost_law import SIX_ND, Cost
from analysis.errors import Status
from analysis.fits.parametric.huber import (
    LogRuns,
    Penalty,
    derivatives,
    objective,
    one_sided,
    residuals,
)
from analysis.fits.surface import PARAMETERS, Surface
from analysis.stats.newton import Minimum, minimise

LEAST_WIDTH = 1e-10
"""delta = 0 asks for least absolute deviations: the Huber loss is narrowed to this width."""

LEAST_SQUARES_WIDTH = 1e-3
"""Least size of residuals by which a gradient of least squares is judged: Huber's usual width."""

APART = 1e-3
"""Difference of some parameter beyond which two ends are two minima."""

TOLERANCE, WIDE_TOLERANCE = 1e-11, 1e-3
"""Last step of a search; of one under a wider loss, whose minimum is a start and no result."""

DEGENERATE_CONDITION = 1e9
"""Above this condition number the runs do not tell the parameters apart."""


@dataclass(frozen=True)
class Problem:
    """Runs with weights (runs,), the Huber loss on their residuals, and what is held fixed.

    `residual` is log or loss (see `Penalty`), `delta` its width in that unit. Where `tied`, alpha
    and beta are one exponent: the search moves alpha and beta follows.
    """

    runs: LogRuns
    weights: np.ndarray
    delta: float = 1e-3
    reduction: str = "sum"
    above: float = 1.0
    fixed: Mapping[str, float] = field(default_factory=dict)
    cost: Cost = SIX_ND
    residual: str = "log"
    tied: bool = False

    @property
    def penalty(self) -> Penalty:
        return Penalty(max(self.delta, LEAST_WIDTH), self.above, self.residual)

    @cached_property
    def held(self) -> np.ndarray:
        """Which of the five parameters are not searched, (5,) of bool: fixed, or tied beta."""
        return np.array([n in self.fixed or (self.tied and n == "beta") for n in PARAMETERS])

    @property
    def description(self) -> str:
        """What is minimised, in words: Huber loss (delta 0.001, sum) of log residuals."""
        if np.isinf(self.delta):
            how = f"least squares ({self.reduction})"
        elif self.delta == 0:
            how = f"absolute deviations ({self.reduction})"
        else:
            how = f"Huber loss (delta {self.delta:g}, {self.reduction})"
        of = "log residuals" if self.residual == "log" else "residuals of the loss itself"
        sided = "" if self.above == 1 else f", runs above the surface weighted {self.above:g}"
        return f"{how} of {of}{sided}{', alpha = beta' if self.tied else ''}"

    @property
    def n_free(self) -> int:
        return int((~self.held).sum())

    @cached_property
    def tie(self) -> np.ndarray:
        """The matrix (5, 5) from what is searched to parameters: the identity, or beta = alpha."""
        matrix = np.eye(len(PARAMETERS))
        if self.tied:
            alpha, beta = PARAMETERS.index("alpha"), PARAMETERS.index("beta")
            matrix[beta, beta], matrix[beta, alpha] = 0.0, 1.0
        return matrix

    def derivatives(
        self, searched: np.ndarray, weights: np.ndarray, penalty: Penalty
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`huber.derivatives` by what is searched, (batch, 5)."""
        if not self.tied:
            return derivatives(searched, self.runs, weights, penalty)
        value, gradient, hessian = derivatives(searched @ self.tie.T, self.runs, weights, penalty)
        return value, gradient @ self.tie, self.tie.T @ hessian @ self.tie

    @property
    def scale(self) -> float:
        """What the summed objective is divided by under `reduction`."""
        return float(self.weights.sum()) if self.reduction == "mean" else 1.0

    def surface(self, theta: np.ndarray) -> Surface:
        return self.runs.surface(theta, self.cost)

    def value(self, theta: np.ndarray) -> float:
        """The objective under `reduction` at one parameter vector; of |r| itself at delta 0."""
        if self.delta == 0:
            r = residuals(theta[None], self.runs, self.residual)[0]
            return float(one_sided(self.weights, r, self.penalty) @ np.abs(r)) / self.scale
        return (
            float(objective(theta[None], self.runs, self.weights[None], self.penalty)[0])
            / self.scale
        )

    def with_fixed(self, starts: np.ndarray) -> np.ndarray:
        """Parameter vectors (batch, 5) with the fixed parameters set."""
        starts = starts.copy()
        if self.tied:
            starts[:, 3:] = starts[:, 3:].mean(axis=1, keepdims=True)
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

    @property
    def _narrowest(self) -> float:
        """The width that factors are of; below it the path to an optimum has to be followed."""
        return max(self.penalty.delta, 1e-3)

    def widths(self, factors: tuple[float, ...] = (10.0, 1.0)) -> list[float]:
        """Widths of the Huber loss, in units of delta, from wide to the asked one."""
        penalty = self.penalty
        # Least squares has no width to narrow.
        factors = (1.0,) if np.isinf(penalty.delta) else factors
        widths = [self._narrowest * factor for factor in factors]
        while widths[-1] > penalty.delta * 1.001:
            widths.append(max(widths[-1] / 3, penalty.delta))
        return widths

    def polish(
        self,
        starts: np.ndarray,
        weights: np.ndarray,
        widths: Sequence[float],
        tolerance: float = TOLERANCE,
        known: Minimum | None = None,
    ) -> Minimum:
        """Minima from every start, each with its row of weights, as the Huber loss narrows.

        Args:
            starts: Parameter vectors, (batch, 5).
            weights: (batch, runs).
            widths: Of the loss, the asked one last, or without it where the end is a start again.
            tolerance: Of the last step.
            known: Minima under the last width, where a search that meets them stops.
        """
        end = None
        for i, width in enumerate(widths):
            narrowed = replace(self.penalty, delta=width)
            end = minimise(
                lambda theta, rows, p=narrowed: self.derivatives(theta, weights[rows], p),
                starts if end is None else end.theta,
                self.bounds,
                self.held,
                tolerance=WIDE_TOLERANCE if width > 2 * self._narrowest else tolerance,
                known=known if i == len(widths) - 1 else None,
                apart=APART,
            )
        assert end is not None  # widths is never empty
        return replace(end, theta=end.theta @ self.tie.T)

    def condition(self, theta: np.ndarray) -> float:
        """Condition number of J'WJ over the free parameters, scaled to a unit diagonal."""
        free = ~self.held
        if not free.any():
            return 1.0
        hessian = self.squared_error_hessian(theta)[free][:, free]
        scale = 1 / np.sqrt(np.maximum(np.diag(hessian), 1e-300))
        return float(np.linalg.cond(hessian * scale[:, None] * scale[None, :]))

    def squared_error_hessian(self, theta: np.ndarray) -> np.ndarray:
        """J'WJ of the residuals at one parameter vector, by what is searched, (5, 5)."""
        y = self.runs.y + residuals(theta[None], self.runs)[0]
        exact = replace(self, runs=replace(self.runs, y=y))
        squared = Penalty(delta=np.inf, residual=self.residual)
        return exact.derivatives(theta[None], self.weights[None], squared)[2][0]

    def conclusion(
        self, theta: np.ndarray, gradient: float, at_bound: np.ndarray, condition: float
    ) -> tuple[Status, str]:
        """The status of an end and its reason.

        Args:    theta: (5,); gradient: largest free component, of the sum; at_bound: (5,) of bool.
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
        width = self.penalty.delta
        if np.isinf(width):
            r = residuals(theta[None], self.runs, self.residual)[0]
            width = max(float(np.sqrt(np.mean(r**2))), LEAST_SQUARES_WIDTH)
        if gradient > tolerance * float(self.weights.sum()) * width:
            return "max_iterations", f"the gradient is still {gradient:.1e}"
        return "converged", ""


def distinct(ends: Minimum, apart: float) -> np.ndarray:
    """Ends (k, 5) that differ in some parameter by more than `apart`, the lowest first."""
    kept: list[np.ndarray] = []
    for theta in ends.theta[np.argsort(ends.value)]:
        if all(np.abs(theta - other).max() > apart for other in kept):
            kept.append(theta)
    return np.array(kept)


def _coordinate(name: str, value: float) -> float:
    return value if name in ("alpha", "beta") else float(np.log(max(value, 1e-30)))
