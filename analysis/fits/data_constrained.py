"""The data-constrained law of Muennighoff et al. 2023: repeated tokens are worth less than new
ones.

    L = E + A/N'^alpha + B/D'^beta
    D' = U (1 + R_D (1 - exp(-(epochs - 1) / R_D)))         U: unique tokens
    N' = V (1 + R_N (1 - exp(-(N/V - 1) / R_N)))            V: the N that U tokens are optimal for

R_D is the number of repetitions after which most of their value is gone (15.4 in the paper); R_N
the same for parameters beyond what the unique tokens warrant (5.3). As in the paper the surface is
of the runs on new data alone, and R_D and R_N follow from the others with that surface held: runs
of thousands of epochs overfit, which no worth of tokens describes, and must not bend the surface.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import FitError, Numbers
from analysis.fits.surface import PARAMETERS, Surface
from analysis.stats.m_estimator import crossing, deviance_bound, residual_scale
from analysis.stats.newton import Minimum, minimise

DECAYS = ("R_D", "R_N")

REPEATED = 1.01
"""Epochs beyond which a run counts as one on repeated data."""

LEAST, MOST = 0.05, 1e4
"""Range of R that is searched: repetition is then worth nothing, or as much as new data for any run
there is."""

FEWEST_REPEATED = 3
LEAST_WIDTH = 1e-4
"""Width of the Huber loss under `delta=0`; iterated weights do not converge on a narrower one."""

_GRID = np.log(np.geomspace(0.3, 300, 7))
_PROFILE = np.log(np.geomspace(LEAST, MOST, 61))


@dataclass(frozen=True)
class RepeatedRuns:
    """Runs that saw tokens more than once: N, D and loss, and the unique tokens among D, (runs,)
    each.
    """

    n_params: np.ndarray
    n_tokens: np.ndarray
    unique: np.ndarray
    loss: np.ndarray

    def __len__(self) -> int:
        return len(self.loss)


@dataclass(frozen=True)
class DataConstrained:
    """The law: a surface of new data and the two decay constants; all may be arrays of draws."""

    surface: Surface
    R_D: Numbers
    R_N: Numbers

    def loss(self, n_params: Numbers, n_tokens: Numbers, epochs: Numbers) -> Numbers:
        """Predicted loss of N parameters on n_tokens tokens, of which 1/epochs are unique."""
        surface, unique = self.surface, np.asarray(n_tokens) / np.maximum(epochs, 1)
        tokens = effective(n_tokens, unique, self.R_D)
        return surface.loss(effective(n_params, warranted(surface, n_params, unique), self.R_N),
                            tokens)  # fmt: skip


@dataclass(frozen=True)
class Decay:
    """R_D or R_N: its value, its profile's 95 % interval, and the sides that the runs leave open.

    `reason` says why the value is NaN, empty where it is not.
    """

    value: float
    interval: tuple[float, float] = (float("nan"), float("nan"))
    open_sides: tuple[str, ...] = ()
    fixed: bool = False
    reason: str = ""


def effective(value: Numbers, unique: Numbers, decay: Numbers) -> Numbers:
    """Worth of `value` of which `unique` is new: unique (1 + R (1 - exp(-(value/unique -
    1)/R))).
    """
    repeats = np.maximum(np.asarray(value) / unique - 1, 0)
    return unique * (1 - decay * np.expm1(-repeats / decay))


def warranted(surface: Surface, n_params: Numbers, unique: Numbers) -> Numbers:
    """The part of N that the unique tokens are compute-optimal for, at most N.

    N_opt and D_opt are joined by alpha A/N^alpha = gamma beta B/D^beta.
    """
    ratio = surface.alpha * surface.A / (surface.cost.gamma * surface.beta * surface.B)
    return np.minimum(n_params, (ratio * unique**surface.beta) ** (1 / surface.alpha))


def fit_decays(
    surface: Surface,
    runs: RepeatedRuns,
    *,
    delta: float = 1e-3,
    fixed: Mapping[str, float] | None = None,
) -> dict[str, Decay]:
    """R_D and R_N by Huber loss on log residuals of the runs on repeated data, the surface held.

    Args:
        surface: Of runs on new data.
        runs: Those on repeated data.
        delta: Width of the Huber loss.
        fixed: Values to hold, by name; others than R_D and R_N are passed over.

    Raises:
        FitError: Fewer than three runs, or a fixed value that is not within the range searched.
    """
    held = _checked(fixed or {})
    if len(runs) < FEWEST_REPEATED:
        raise FitError(
            f"{len(runs)} run(s) repeat data; the law needs at least {FEWEST_REPEATED}: add runs "
            f"of more epochs"
        )
    reason = ""
    if "R_N" not in held and not _oversized(surface, runs).any():
        reason = "no run is larger than its unique tokens warrant"
    frozen = np.array([name in held or (name == "R_N" and reason != "") for name in DECAYS])
    problem = _Problem(surface, runs, np.ones((1, len(runs))), max(delta, LEAST_WIDTH))
    starts = np.stack(np.meshgrid(_GRID, _GRID), axis=-1).reshape(-1, 2)
    for name, value in held.items():
        starts[:, DECAYS.index(name)] = np.log(value)
    ends = problem.minimum(starts, frozen)
    best = ends.theta[ends.value.argmin()]
    return {
        name: _profiled(problem, best, index, frozen)
        if not frozen[index]
        else Decay(held.get(name, float("nan")), fixed=name in held, reason=reason)
        for index, name in enumerate(DECAYS)
    }


def decay_draws(
    surfaces: Surface,
    runs: RepeatedRuns,
    weights: np.ndarray,
    found: Mapping[str, Decay],
    delta: float = 1e-3,
) -> dict[str, np.ndarray]:
    """R_D and R_N of resamples, (draws,) each: under their own surfaces and weights of the runs.

    Args:
        surfaces: One per resample, as a surface of arrays (draws,).
        runs: On repeated data.
        weights: How often each resample draws each of them, (draws, runs).
        found: What `fit_decays` found; what is fixed or unknown there is held.
        delta: Width of the Huber loss.
    """
    start = np.log([np.nan_to_num(found[name].value, nan=1.0) for name in DECAYS])
    frozen = np.array([found[name].fixed or bool(found[name].reason) for name in DECAYS])
    problem = _Problem(surfaces, runs, weights, max(delta, LEAST_WIDTH))
    ends = problem.minimum(np.tile(start, (len(weights), 1)), frozen, tolerance=1e-4)
    return {name: np.exp(ends.theta[:, i]) for i, name in enumerate(DECAYS)}


def _checked(fixed: Mapping[str, float]) -> dict[str, float]:
    held = {name: float(fixed[name]) for name in DECAYS if name in fixed}
    for name, value in held.items():
        if not LEAST <= value <= MOST:
            raise FitError(f"fixed {name}={value} must lie between {LEAST:g} and {MOST:g}")
    return held


def _oversized(surface: Surface, runs: RepeatedRuns) -> np.ndarray:
    return runs.n_params > 1.05 * np.asarray(warranted(surface, runs.n_params, runs.unique))


def _profiled(problem: "_Problem", best: np.ndarray, index: int, frozen: np.ndarray) -> Decay:
    """One decay constant with the interval of its profile likelihood and the sides left open."""
    n_runs, n_free = len(problem.runs), int((~frozen).sum())
    values = np.sort(np.append(_PROFILE, best[index]))
    starts = np.tile(best, (len(values), 1))
    starts[:, index] = values
    ends = problem.minimum(starts, frozen | (np.arange(2) == index))
    residuals = problem.terms(best[None], np.array([0]))[0][0]
    scale = residual_scale(residuals, np.ones(n_runs), problem.delta, n_free)
    deviance = 2 * np.maximum(ends.value - ends.value.min(), 0) / scale
    bound, middle = deviance_bound(n_runs, n_free), int(np.searchsorted(values, best[index]))
    low = crossing(values[middle::-1], deviance[middle::-1], bound)
    high = crossing(values[middle:], deviance[middle:], bound)
    sides = tuple(side for side, end in (("below", low), ("above", high)) if np.isinf(end))
    return Decay(float(np.exp(best[index])), (float(np.exp(low)), float(np.exp(high))), sides)


@dataclass(frozen=True)
class _Problem:
    """Log residuals by (log R_D, log R_N), under one surface or one per row of the search."""

    surface: Surface
    runs: RepeatedRuns
    weights: np.ndarray
    delta: float

    def minimum(self, starts: np.ndarray, frozen: np.ndarray, tolerance: float = 1e-8) -> Minimum:
        box = np.full(2, np.log(LEAST)), np.full(2, np.log(MOST))
        return minimise(self._derivatives, starts, box, frozen, tolerance=tolerance)

    def terms(self, log_r: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log residuals (batch, runs) and their derivatives (batch, 2, runs)."""
        runs, surface = self.runs, _columns(self.surface, rows)
        own = warranted(surface, runs.n_params, runs.unique)
        data, data_slope = _worth(runs.n_tokens / runs.unique - 1, np.exp(log_r[:, :1]))
        size, size_slope = _worth(runs.n_params / own - 1, np.exp(log_r[:, 1:]))
        size_term = surface.A / (own * size) ** surface.alpha
        data_term = surface.B / (runs.unique * data) ** surface.beta
        total = surface.E + size_term + data_term
        slopes = [
            -surface.beta * data_term / total * data_slope / data,
            -surface.alpha * size_term / total * size_slope / size,
        ]
        return np.log(total / runs.loss), np.stack(slopes, axis=1)

    def _derivatives(
        self, log_r: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r, jacobian = self.terms(log_r, rows)
        weights = self.weights if len(self.weights) == 1 else self.weights[rows]
        slope = np.clip(r, -self.delta, self.delta)
        # The curvature of the parabola that touches Huber's loss from above: steps never overshoot,
        # where the loss's own curvature is zero for nearly all runs of a law that misses them.
        bent = weights * np.minimum(1.0, self.delta / np.maximum(np.abs(r), 1e-300))
        return (
            (weights * (slope * (r - slope / 2))).sum(axis=1),
            (jacobian @ (weights * slope)[:, :, None])[:, :, 0],
            (jacobian * bent[:, None, :]) @ np.swapaxes(jacobian, 1, 2),
        )


def _columns(surface: Surface, rows: np.ndarray) -> Surface:
    """The surfaces of some rows, parameters as columns (rows, 1); a single surface as it is."""
    values = {name: np.asarray(getattr(surface, name)) for name in PARAMETERS}
    if not values["E"].ndim:
        return surface
    return replace(surface, **{name: value[rows, None] for name, value in values.items()})


def _worth(repeats: np.ndarray, decay: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 + R (1 - exp(-repeats/R)) and its derivative by log R, (batch, runs) each."""
    repeats = np.maximum(repeats, 0)
    lost = -np.expm1(-repeats / decay)
    return 1 + decay * lost, decay * lost - repeats * (1 - lost)
