"""Profile-likelihood intervals of the parametric fit, with a warning where the profile is flat.

Holding one quantity at a series of values and minimising over the rest gives its profile. For an
M-estimator twice the rise of the objective, times E[psi'] / E[psi^2] of the residuals, tends to a
chi-squared with one degree of freedom; Student's t squared stands in for it with few runs. Unlike
the percentiles of a bootstrap, the interval may reach to infinity, which is what too narrow a range
of N or D deserves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import FitError
from analysis.fits.parametric.fit import ParametricFit
from analysis.fits.parametric.huber import LogRuns, derivatives, one_sided, residuals
from analysis.fits.surface import PARAMETERS
from analysis.stats.m_estimator import crossing, curvature, deviance_bound, residual_scale
from analysis.stats.newton import minimise

PROFILED = (*PARAMETERS, "a", "b")
_DERIVED = ("a", "b")
"""Functions of alpha/beta, and so fixed where both of these are."""
_STEPS = np.concatenate([np.linspace(0.25, 4, 16), np.geomspace(4.5, 30, 14)])
_SIDE = 200.0
"""Half the side of the box in which held fits search; far beyond any logarithm of interest."""


@dataclass(frozen=True)
class Profile:
    """Deviances (points,) with one quantity held at each of `values`, and the interval from them.

    `flat` says that the deviance stays below its quantile as far as it was followed on some side:
    the runs don't bound the quantity there, and the interval ends at its limit.
    """

    name: str
    values: np.ndarray
    deviance: np.ndarray
    interval: tuple[float, float]
    flat: bool


def profile(fit: ParametricFit, name: str, level: float = 0.95) -> Profile:
    """Profile of E, A, B, alpha, beta, a or b about a fit's optimum.

    Raises:  FitError: an unknown name, a parameter that was held fixed, or a fit without an
             optimum.
    """
    if name not in profiled(fit) or not np.isfinite(fit.objective):
        raise FitError(f"{name!r} has no profile here; expected one of {PROFILED} left free")
    if fit.problem.tied and name == "beta":
        return replace(profile(fit, "alpha", level), name="beta")
    theta = fit.theta
    problem = fit.problem
    scale = residual_scale(
        *_weighted_residuals(fit), problem.penalty.delta, problem.n_free, problem.above
    )
    direction, error = _response(fit, name, theta, scale)
    steps = error * np.concatenate([-_STEPS[::-1], [0.0], _STEPS])
    held = _held_at(name, theta, fit.runs) + steps
    value = _held_minima(fit, name, held, theta + steps[:, None] * direction)
    deviance = 2 * np.maximum(value - value.min(), 0) / scale
    bound = deviance_bound(len(fit.runs), problem.n_free, level)
    middle = len(_STEPS)
    low = crossing(held[middle::-1], deviance[middle::-1], bound)
    high = crossing(held[middle:], deviance[middle:], bound)
    gamma = float(fit.surface.cost.gamma)
    ends = sorted(_read(name, end, gamma) for end in (low, high))
    return Profile(
        name=name,
        values=np.array([_read(name, value, gamma) for value in held]),
        deviance=deviance,
        interval=(ends[0], ends[1]),
        flat=bool(np.isinf([low, high]).any()),
    )


def profiled(fit: ParametricFit) -> tuple[str, ...]:
    """The quantities that the fit left free."""
    fixed = fit.problem.fixed
    free = [name for name in PROFILED if name not in fixed]
    if fit.problem.tied or {"alpha", "beta"} <= fixed.keys():
        # With one exponent, or with both fixed, a is known before any run.
        free = [name for name in free if name not in _DERIVED]
    return tuple(free)


def _weighted_residuals(fit: ParametricFit) -> tuple[np.ndarray, np.ndarray]:
    """Residuals that the objective is of, and its one-sided weights of them, (runs,) each."""
    problem = fit.problem
    r = residuals(fit.theta[None], fit.runs, problem.residual)[0]
    return r, one_sided(np.ones(len(r)), r, problem.penalty)


def _response(
    fit: ParametricFit, name: str, theta: np.ndarray, scale: float
) -> tuple[np.ndarray, float]:
    """How the optimum moves with the held quantity (5,), and the quantity's standard error."""
    free = ~fit.problem.held
    penalty = fit.problem.penalty
    own = curvature(*_weighted_residuals(fit), penalty.delta, penalty.above)
    information = own * fit.problem.squared_error_hessian(theta)
    covariance = np.zeros((5, 5))
    covariance[np.ix_(free, free)] = scale * np.linalg.pinv(information[free][:, free])
    gradient = _gradient_of(name, theta, fit.runs) @ fit.problem.tie
    along = covariance @ gradient
    variance = float(gradient @ along)
    return fit.problem.tie @ along / variance, float(np.sqrt(variance))


def _held_at(name: str, theta: np.ndarray, runs: LogRuns) -> float:
    """The quantity in the coordinate in which it is held: logarithms, save for the exponents."""
    e, a, b, alpha, beta = (float(value) for value in theta)
    ratio = float(np.log(alpha / beta))
    return {
        "E": e,
        "A": a + alpha * runs.u_mean,
        "B": b + beta * runs.v_mean,
        "alpha": alpha,
        "beta": beta,
        "a": ratio,
        "b": ratio,
    }[name]


def _gradient_of(name: str, theta: np.ndarray, runs: LogRuns) -> np.ndarray:
    alpha, beta = theta[3:]
    return np.array({
        "E": [1, 0, 0, 0, 0],
        "A": [0, 1, 0, runs.u_mean, 0],
        "B": [0, 0, 1, 0, runs.v_mean],
        "alpha": [0, 0, 0, 1, 0],
        "beta": [0, 0, 0, 0, 1],
        "a": [0, 0, 0, 1 / alpha, -1 / beta],
        "b": [0, 0, 0, 1 / alpha, -1 / beta],
    }[name], dtype=float)  # fmt: skip


def _read(name: str, held: float, gamma: float) -> float:
    """The quantity itself; infinite coordinates become its limits."""
    if name in ("alpha", "beta"):
        return max(held, 0.0)
    with np.errstate(over="ignore"):
        value = float(np.exp(held))
    if name == "a":
        return 1 / (value + gamma)
    return 1 - gamma / (value + gamma) if name == "b" else value


def _constraint(
    name: str, held: float, runs: LogRuns, fixed: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """theta = M phi + c for the parameter vectors with the quantity held: M (5, 5) and c (5,).

    One coordinate follows from the others, so one column of M is zero.
    """
    matrix, offset = np.eye(5), np.zeros(5)
    if name in _DERIVED:
        # alpha/beta is held by moving the exponent that is free: with alpha fixed beta follows it,
        # or the profile would be of another problem than the fit.
        own, other = (4, 3) if "alpha" in fixed else (3, 4)
        matrix[own] = 0
        matrix[own, other] = np.exp(held if own == 3 else -held)
        return matrix, offset
    own = {"E": 0, "A": 1, "B": 2, "alpha": 3, "beta": 4}[name]
    matrix[own] = 0
    offset[own] = held
    if name == "A":
        matrix[1, 3] = -runs.u_mean
    if name == "B":
        matrix[2, 4] = -runs.v_mean
    return matrix, offset


def _held_minima(fit: ParametricFit, name: str, held: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Least objective, (points,), with the quantity at each of `held`."""
    pairs = [_constraint(name, value, fit.runs, fit.problem.fixed) for value in held]
    tie = fit.problem.tie
    matrices, offsets = np.stack([tie @ m for m, _ in pairs]), np.stack([tie @ c for _, c in pairs])
    unused = np.abs(matrices[0]).sum(axis=0) == 0
    frozen = unused | fit.problem.held

    weights, penalty = fit.problem.weights[None], fit.problem.penalty

    def constrained(phi: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        m = matrices[rows]
        theta = (m @ phi[..., None])[..., 0] + offsets[rows]
        value, gradient, hessian = derivatives(theta, fit.runs, weights, penalty)
        back = np.swapaxes(m, 1, 2)
        return value, (back @ gradient[..., None])[..., 0], back @ hessian @ m

    box = np.full(5, -_SIDE), np.full(5, _SIDE)
    return minimise(constrained, starts, box, frozen).value
