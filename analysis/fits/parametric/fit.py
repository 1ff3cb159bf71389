"""Approach 3 of Hoffmann et al. 2022: the parametric surface, fitted to final losses.

    fit = fit_parametric(n_params, n_tokens, loss)
    fit.alpha, fit.beta, fit.status
    fit.optimal(1e21).n_params

Variable projection over a grid of exponents gives the starts, Newton's method under a Huber loss
that narrows to the asked width gives the optimum, exactly: the gradient norm says how exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.data.cost_law import SIX_ND, Cost
from analysis.errors import FitError, Numbers, Status
from analysis.fits.input_checks import checked_fixed, checked_runs, checked_weights, undetermined
from analysis.fits.parametric.huber import LogRuns, residuals
from analysis.fits.parametric.problem import APART, Problem, distinct
from analysis.fits.parametric.starts import ResampleGrid, grid_starts
from analysis.fits.surface import PARAMETERS, Allocation, Surface
from analysis.stats.resampling import in_chunks

MET = 1e-2
"""Difference of some parameter beyond which two searches under a wide loss, which end within 1e-3
of their minima, have not met."""

REFIT_TOLERANCE = 1e-8
"""Last step of a refit, of which intervals are made: Newton's next would be of 1e-16."""

_CHUNK_CELLS = 120_000
"""Refits times runs done together: enough to amortise numpy's calls over the last that search on;
`huber` itself works on fewer at once, for the cache."""


@dataclass(frozen=True)
class ParametricFit:
    """A fitted surface and how far to trust it; parameters are NaN where nothing could be fitted.

    `objective` and `gradient_norm` are under the problem's reduction, the latter the largest free
    component for (log E, log A, log B, alpha, beta) about the centre of the runs; `n_basins` counts
    the distinct minima that the starts ended in; `condition` is that of the squared-error Hessian
    with a unit diagonal.
    """

    problem: Problem
    surface: Surface
    objective: float
    gradient_norm: float
    n_basins: int
    condition: float
    status: Status
    reason: str

    @property
    def E(self) -> float:
        return float(self.surface.E)

    @property
    def A(self) -> float:
        return float(self.surface.A)

    @property
    def B(self) -> float:
        return float(self.surface.B)

    @property
    def alpha(self) -> float:
        return float(self.surface.alpha)

    @property
    def beta(self) -> float:
        return float(self.surface.beta)

    @property
    def a(self) -> float:
        return float(self.surface.a)

    @property
    def b(self) -> float:
        return float(self.surface.b)

    @property
    def G(self) -> float:
        return float(self.surface.G)

    @property
    def runs(self) -> LogRuns:
        return self.problem.runs

    @property
    def usable(self) -> bool:
        """Whether predictions may be drawn from the fit."""
        return self.status in ("converged", "max_iterations") and self.A > 0 and self.B > 0

    @property
    def theta(self) -> np.ndarray:
        """The parameter vector (e, a, b, alpha, beta) of `analysis.fits.parametric.huber`, (5,)."""
        return self.runs.theta(self.surface)

    @property
    def residuals(self) -> np.ndarray:
        """log L - log L_fit of each run, (runs,)."""
        return -residuals(self.theta[None], self.runs)[0]

    def loss(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        return self.surface.loss(n_params, n_tokens)

    def optimal(self, flops: Numbers) -> Allocation:
        """Loss-optimal N and D for budgets in FLOPs; see `Surface.optimal`."""
        return self.surface.optimal(flops)


def fit_parametric(
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    loss: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    delta: float = 1e-3,
    reduction: str = "sum",
    above: float = 1.0,
    fixed: Mapping[str, float] | None = None,
    cost: Cost = SIX_ND,
    residual: str = "log",
    tied: bool = False,
) -> ParametricFit:
    """Fit L(N, D) = E + A/N^alpha + B/D^beta by Huber loss on residuals of log L, or of L.

    Args:    n_params, n_tokens, loss: one entry a run, (runs,), > 0; loss in nats a token.
             weights: importance of each run, (runs,), >= 0; default 1.
             delta: width of the Huber loss; 0 for least absolute deviations, inf for least
             squares.
             reduction: whether `objective` is a sum or a mean over runs; the minimum is the same.
             above: weight of runs that lie above the surface; below 1 for under-tuned runs.
             fixed: parameters to hold, by name: {"alpha": 0.34}.
             cost: FLOPs as a function of N and D, for the optimum; 6 N D by default.
             residual: log, or loss for residuals in the unit of the losses.
             tied: whether alpha and beta are one exponent (Gadre et al. 2024).
    Raises:  FitError: arrays of unequal length, values that are not positive and finite, fewer runs
             than free parameters, an unknown fixed parameter.
    Source:  Hoffmann et al. 2022, approach 3; Besiroglu et al. 2024 on its pitfalls.
    """
    return solve(
        pose(
            n_params, n_tokens, loss, weights, delta, reduction, above, fixed or {}, cost,
            residual=residual, tied=tied,
        )
    )  # fmt: skip


def solve(problem: Problem) -> ParametricFit:
    """The lowest minimum of a posed problem, from a grid of starts; see `fit_parametric`."""
    runs = problem.runs
    sizes, tokens = np.exp(runs.u + runs.u_mean), np.exp(runs.v + runs.v_mean)
    reason = undetermined(sizes, tokens, problem.weights, problem.fixed, problem.tied)
    if reason:
        nan = float("nan")
        nothing = Surface(nan, nan, nan, nan, nan, problem.cost)
        return ParametricFit(problem, nothing, nan, nan, 0, nan, "degenerate", reason)
    starts = problem.with_fixed(grid_starts(runs, problem.weights, problem.penalty))
    widths, weights = problem.widths(), problem.weights[None]
    if len(widths) > 1:
        # Most starts meet under the widest loss already; what has met is polished once.
        met = problem.polish(starts, weights.repeat(len(starts), axis=0), widths[:1])
        starts, widths = distinct(met, MET), widths[1:]
    ends = problem.polish(starts, weights.repeat(len(starts), axis=0), widths)
    return assess(problem, ends.theta[ends.value.argmin()], len(distinct(ends, APART)))


def pose(
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    loss: np.ndarray,
    weights: np.ndarray | None,
    delta: float,
    reduction: str,
    above: float,
    fixed: Mapping[str, float],
    cost: Cost,
    *,
    residual: str = "log",
    tied: bool = False,
) -> Problem:
    """The checked problem that `fit_parametric` solves; arguments and errors are its."""
    held = checked_fixed(fixed, tied)
    least = len(PARAMETERS) - len(held) - (tied and "alpha" not in held)
    n_params, n_tokens, loss = checked_runs(n_params, n_tokens, loss, least)
    if reduction not in ("sum", "mean"):
        raise FitError(f"reduction={reduction!r} is unknown; expected sum or mean")
    if residual not in ("log", "loss"):
        raise FitError(f"residual={residual!r} is unknown; expected log or loss")
    if not delta >= 0 or above <= 0:
        raise FitError(f"delta={delta} and above={above}: expected delta >= 0 and above > 0")
    centred = not {"A", "B"} & held.keys()
    runs = LogRuns.of(n_params, n_tokens, loss, centred=centred)
    checked = checked_weights(weights, len(loss))
    return Problem(runs, checked, delta, reduction, above, held, cost, residual, tied)


def assess(problem: Problem, theta: np.ndarray, n_basins: int = 1) -> ParametricFit:
    """The fit that a parameter vector (5,) is: its objective, gradient, condition and status."""
    lower, upper = problem.bounds
    gradient = problem.derivatives(theta[None], problem.weights[None], problem.penalty)[1][0]
    at_bound = ((theta <= lower) & (gradient > 0)) | ((theta >= upper) & (gradient < 0))
    free = ~(problem.held | at_bound)
    norm = float(np.abs(gradient[free]).max()) if free.any() else 0.0
    condition = problem.condition(theta)
    status, reason = problem.conclusion(theta, norm, at_bound, condition)
    return ParametricFit(
        problem=problem,
        surface=problem.surface(theta),
        objective=problem.value(theta),
        gradient_norm=norm / problem.scale,
        n_basins=n_basins,
        condition=condition,
        status=status,
        reason=reason,
    )


def refit(fit: ParametricFit, weights: np.ndarray, n_threads: int = 1) -> np.ndarray:
    """Parameter vectors (batch, 5) of the same fit under other weights of its runs, (batch, runs).

    Each row starts twice, from the full fit and from its own best cell of the exponent grid, and
    keeps the lower end; the second stops where it meets the first's. Read the vectors with
    `fit.problem.surface(theta)`.
    """
    grid = ResampleGrid(fit.runs)
    chunk = max(1, _CHUNK_CELLS // len(fit.runs))
    return in_chunks(lambda rows: _refit(fit, grid, rows), weights, chunk, n_threads)


def _refit(fit: ParametricFit, grid: ResampleGrid, weights: np.ndarray) -> np.ndarray:
    problem = fit.problem
    near = np.broadcast_to(fit.theta, (len(weights), 5))
    far = problem.with_fixed(grid.starts(weights, fit.theta))
    first = problem.polish(near, weights, problem.widths((1.0,)), REFIT_TOLERANCE)
    # From 10 delta one resample in 4,000 of Besiroglu et al.'s
    # finds a lower minimum, which moves the standard error of B by 1.4 %.
    second = problem.polish(far, weights, problem.widths((30.0, 1.0)), REFIT_TOLERANCE, first)
    lower = second.value < first.value
    return np.where(lower[:, None], second.theta, first.theta)
