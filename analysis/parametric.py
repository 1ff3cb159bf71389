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

from analysis.newton import Minimum, minimise
from analysis.objective import LogRuns, Penalty, derivatives, residuals
from analysis.starts import grid_starts, resample_starts
from analysis.surface import PARAMETERS, Allocation, Cost, FitError, Numbers, Status, Surface

LEAST_WIDTH = 1e-10
"""delta = 0 asks for least absolute deviations: the Huber loss is narrowed to this width."""

DEGENERATE_CONDITION = 1e9
"""Above this condition number the runs do not tell the parameters apart."""

_TOLERANCE = {True: 1e-8, False: 1e-2}
"""Largest gradient of a converged fit, against delta times the sum of weights. Least absolute
deviations have a corner for an optimum, which rounding of the objective lets one only approach."""

_CHUNK = 250


@dataclass(frozen=True)
class ParametricFit:
    """A fitted surface and how far to trust it; parameters are NaN where nothing could be fitted.

    `objective` is under `reduction`; `gradient_norm` is the largest gradient component in the free
    directions, for log E, log A, log B, alpha, beta; `n_basins` counts the distinct local minima
    that the starts ended in; `condition` is that of the squared-error Hessian with a unit diagonal.
    """

    surface: Surface
    objective: float
    gradient_norm: float
    n_basins: int
    condition: float
    status: Status
    reason: str
    delta: float
    reduction: str
    runs: LogRuns
    weights: np.ndarray
    penalty: Penalty
    fixed: dict[str, float]

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
    def usable(self) -> bool:
        """Whether predictions may be drawn from the fit."""
        return self.status in ("converged", "max_iterations") and self.A > 0 and self.B > 0

    def loss(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        return self.surface.loss(n_params, n_tokens)

    def optimal(self, flops: Numbers) -> Allocation:
        """Loss-optimal N and D for budgets in FLOPs; see `Surface.optimal`."""
        return self.surface.optimal(flops)

    @property
    def residuals(self) -> np.ndarray:
        """log L - log L_fit of each run, (runs,)."""
        return -residuals(self.runs.theta(self.surface)[None], self.runs)[0]


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
    cost: Cost = Cost(),  # noqa: B008 - frozen
) -> ParametricFit:
    """Fit L(N, D) = E + A/N^alpha + B/D^beta by Huber loss on log residuals.

    Args:    n_params, n_tokens, loss: one entry a run, (runs,), > 0; loss in nats a token.
             weights: importance of each run, (runs,), >= 0; default 1.
             delta: width of the Huber loss; 0 for least absolute deviations.
             reduction: whether `objective` is a sum or a mean over runs; the minimum is the same.
             above: weight of runs that lie above the surface; below 1 for under-tuned runs.
             fixed: parameters to hold, by name: {"alpha": 0.34}.
             cost: FLOPs as a function of N and D, for the optimum; 6 N D by default.
    Raises:  FitError: arrays of unequal length, values that are not positive and finite, fewer runs
             than free parameters, an unknown fixed parameter.
    Source:  Hoffmann et al. 2022, approach 3; Besiroglu et al. 2024 on its pitfalls.
    """
    held = _checked_fixed(fixed or {})
    n_params, n_tokens, loss = checked_runs(
        n_params, n_tokens, loss, least=len(PARAMETERS) - len(held)
    )
    weights = _checked_weights(weights, len(loss))
    if reduction not in ("sum", "mean"):
        raise FitError(f"reduction={reduction!r} is unknown; expected sum or mean")
    if delta < 0 or above <= 0:
        raise FitError(f"delta={delta} and above={above}: expected delta >= 0 and above > 0")
    runs = LogRuns.of(n_params, n_tokens, loss)
    if {"A", "B"} & held.keys():
        runs = _uncentred(runs)
    penalty = Penalty(max(delta, LEAST_WIDTH), above)
    reason = _undetermined(n_params, n_tokens, weights, held)
    if reason:
        return _degenerate(reason, runs, weights, penalty, delta, reduction, held, cost)
    starts = _with_fixed(grid_starts(runs, weights, penalty), held)
    ends = _polish(starts, runs, np.broadcast_to(weights, (len(starts), len(runs))), penalty, held)
    return _best(ends, runs, weights, penalty, delta, reduction, held, cost)


def refit(fit: ParametricFit, weights: np.ndarray) -> np.ndarray:
    """Parameter vectors (batch, 5) of the same fit under other weights of its runs, (batch, runs).

    Each row starts twice, from the full fit and from its own best cell of the exponent grid, and
    keeps the lower end. Use `fit.runs.surface(theta, cost)` to read the vectors.
    """
    default = fit.runs.theta(fit.surface)
    parts = [
        _refit_chunk(fit, weights[start : start + _CHUNK], default)
        for start in range(0, len(weights), _CHUNK)
    ]
    return np.concatenate(parts)


def _refit_chunk(fit: ParametricFit, weights: np.ndarray, default: np.ndarray) -> np.ndarray:
    near = np.broadcast_to(default, (len(weights), 5))
    far = _with_fixed(resample_starts(fit.runs, weights, default), fit.fixed)
    ends = [
        _polish(starts, fit.runs, weights, fit.penalty, fit.fixed, factors)
        for starts, factors in ((near, (1.0,)), (far, (30.0, 1.0)))
    ]
    lower = ends[1].value < ends[0].value
    return np.where(lower[:, None], ends[1].theta, ends[0].theta)


def _polish(
    starts: np.ndarray,
    runs: LogRuns,
    weights: np.ndarray,
    penalty: Penalty,
    held: Mapping[str, float],
    factors: tuple[float, ...] = (30.0, 5.0, 1.0),
) -> Minimum:
    """Minima from every start, each with its row of weights, as the Huber loss narrows."""
    widths = [max(penalty.delta, 1e-3) * factor for factor in factors]
    while widths[-1] > penalty.delta * 1.001:
        widths.append(max(widths[-1] / 3, penalty.delta))
    fixed = np.array([name in held for name in PARAMETERS])
    bounds = _bounds(runs, held)
    end = None
    for width in widths:
        narrowed = Penalty(width, penalty.above)
        theta = starts if end is None else end.theta
        end = minimise(
            lambda theta, rows, p=narrowed: derivatives(theta, runs, weights[rows], p),
            theta,
            bounds,
            fixed,
        )
    assert end is not None  # factors is never empty
    return end


def _best(
    ends: Minimum,
    runs: LogRuns,
    weights: np.ndarray,
    penalty: Penalty,
    delta: float,
    reduction: str,
    held: dict[str, float],
    cost: Cost,
) -> ParametricFit:
    best = int(ends.value.argmin())
    theta = ends.theta[best]
    gradient = float(np.abs(ends.free_gradient[best]).max())
    condition = _condition(theta, runs, weights, held)
    status, reason = _verdict(ends, best, gradient, condition, weights, penalty, held)
    scale = weights.sum() if reduction == "mean" else 1.0
    value = float(ends.value[best])
    if delta == 0:
        value = float(weights @ np.abs(residuals(theta[None], runs)[0]))
    return ParametricFit(
        surface=runs.surface(theta, cost),
        objective=value / scale,
        gradient_norm=gradient / scale,
        n_basins=_count_basins(ends),
        condition=condition,
        status=status,
        reason=reason,
        delta=delta,
        reduction=reduction,
        runs=runs,
        weights=weights,
        penalty=penalty,
        fixed=held,
    )


def _verdict(
    ends: Minimum,
    best: int,
    gradient: float,
    condition: float,
    weights: np.ndarray,
    penalty: Penalty,
    held: Mapping[str, float],
) -> tuple[Status, str]:
    free = np.array([name not in held for name in PARAMETERS])
    stuck = [name for name, hit in zip(PARAMETERS, ends.at_bound[best] & free, strict=True) if hit]
    if stuck:
        return "bound_hit", f"{', '.join(stuck)} ran to the edge of what is searched"
    if condition > DEGENERATE_CONDITION:
        return (
            "degenerate",
            f"the runs do not tell the parameters apart (condition {condition:.1e})",
        )
    if gradient > _TOLERANCE[penalty.delta > 10 * LEAST_WIDTH] * weights.sum() * penalty.delta:
        return "max_iterations", f"the gradient is still {gradient:.1e}"
    return "converged", ""


def _degenerate(
    reason: str,
    runs: LogRuns,
    weights: np.ndarray,
    penalty: Penalty,
    delta: float,
    reduction: str,
    held: dict[str, float],
    cost: Cost,
) -> ParametricFit:
    nan = float("nan")
    nothing = Surface(nan, nan, nan, nan, nan, cost)
    return ParametricFit(
        nothing, nan, nan, 0, nan, "degenerate", reason,
        delta, reduction, runs, weights, penalty, held,
    )  # fmt: skip


def _undetermined(
    n_params: np.ndarray, n_tokens: np.ndarray, weights: np.ndarray, held: Mapping[str, float]
) -> str:
    """Why these runs can't determine the free parameters; empty when they can."""
    used = weights > 0
    for name, values, own in (
        ("model size", n_params[used], {"A", "alpha"}),
        ("number of tokens", n_tokens[used], {"B", "beta"}),
    ):
        distinct = len(np.unique(np.round(np.log(values), 6)))
        needed = 1 + len(own - held.keys())
        if distinct < needed:
            return f"{distinct} distinct {name}(s); the fit needs at least {needed}"
    spread = float(np.ptp(np.log(n_params[used] * n_tokens[used])))
    if spread < np.log(1.2):
        return "all runs have one compute budget; N and D can't be told apart, add another budget"
    return ""


def _condition(
    theta: np.ndarray, runs: LogRuns, weights: np.ndarray, held: Mapping[str, float]
) -> float:
    """Condition number of J'WJ over the free parameters, scaled to a unit diagonal."""
    free = np.array([name not in held for name in PARAMETERS])
    huge = Penalty(delta=1e6)
    r = residuals(theta[None], runs)[0]
    fitted = LogRuns(runs.u, runs.v, runs.y + r, runs.u_mean, runs.v_mean)
    hessian = derivatives(theta[None], fitted, weights[None], huge)[2][0][free][:, free]
    scale = 1 / np.sqrt(np.maximum(np.diag(hessian), 1e-300))
    return float(np.linalg.cond(hessian * scale[:, None] * scale[None, :])) if free.any() else 1.0


def _count_basins(ends: Minimum) -> int:
    """Distinct ends: parameters that differ by more than 1e-3 count as another basin."""
    kept: list[np.ndarray] = []
    for theta in ends.theta[np.argsort(ends.value)]:
        if all(np.abs(theta - other).max() > 1e-3 for other in kept):
            kept.append(theta)
    return len(kept)


def _bounds(runs: LogRuns, held: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Search box for (e, a, b, alpha, beta): coefficients against the least loss, at the centre."""
    low = float(np.log(runs.loss.min()))
    lower = np.array([low - np.log(1e4), low - np.log(1e6), low - np.log(1e6), 0.01, 0.01])
    upper = np.array([np.log(runs.loss.max()), low + np.log(1e6), low + np.log(1e6), 5.0, 5.0])
    if {"A", "B"} & held.keys():
        lower[1:3], upper[1:3] = -50.0, 150.0
    for name, value in held.items():
        index = PARAMETERS.index(name)
        lower[index] = upper[index] = _coordinate(name, value)
    return lower, upper


def _coordinate(name: str, value: float) -> float:
    return value if name in ("alpha", "beta") else float(np.log(max(value, 1e-30)))


def _with_fixed(starts: np.ndarray, held: Mapping[str, float]) -> np.ndarray:
    starts = starts.copy()
    for name, value in held.items():
        starts[:, PARAMETERS.index(name)] = _coordinate(name, value)
    return starts


def _uncentred(runs: LogRuns) -> LogRuns:
    return LogRuns(runs.u + runs.u_mean, runs.v + runs.v_mean, runs.y, 0.0, 0.0)


def _checked_fixed(fixed: Mapping[str, float]) -> dict[str, float]:
    for name, value in fixed.items():
        if name not in PARAMETERS:
            raise FitError(f"fixed parameter {name!r} is unknown; expected one of {PARAMETERS}")
        if not (np.isfinite(value) and (value > 0 or (name == "E" and value == 0))):
            raise FitError(f"fixed {name}={value} must be positive and finite")
    return {name: float(value) for name, value in fixed.items()}


def _checked_weights(weights: np.ndarray | None, n_runs: int) -> np.ndarray:
    checked = np.ones(n_runs) if weights is None else np.asarray(weights, dtype=float)
    if checked.shape != (n_runs,) or not np.all(np.isfinite(checked) & (checked >= 0)):
        raise FitError(f"weights {checked.shape} must be one number >= 0 for each of {n_runs} runs")
    return checked


def checked_runs(
    n_params: np.ndarray, n_tokens: np.ndarray, loss: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three columns as float arrays.

    Raises:  FitError: unequal lengths, fewer than `least` runs, a value not positive and finite.
    """
    columns = {
        "n_params": np.asarray(n_params, dtype=float),
        "n_tokens": np.asarray(n_tokens, dtype=float),
        "loss": np.asarray(loss, dtype=float),
    }
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or columns["loss"].ndim != 1:
        raise FitError(f"columns must be one-dimensional and of one length; got {shapes}")
    if len(columns["loss"]) < least:
        raise FitError(
            f"{len(columns['loss'])} runs can't determine {least} parameters; "
            f"expected at least {least} runs: add runs or fix parameters"
        )
    for name, column in columns.items():
        bad = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
        if len(bad):
            raise FitError(
                f"{name}[{bad[0]}]={column[bad[0]]} ({len(bad)} of {len(column)} rows); "
                f"expected positive finite values: filter those rows out"
            )
    return columns["n_params"], columns["n_tokens"], columns["loss"]
