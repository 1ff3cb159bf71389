"""Newton's method for many small problems at once, within bounds.

Thousands of five-parameter fits are one sequence of batched linear algebra rather than thousands of
calls of a general optimiser; every fit of the project that needs to be fast goes through here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Derivatives = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""(theta (m, p), which problems (m,)) -> value (m,), gradient (m, p), Hessian (m, p, p)."""

FEWEST_FACTORED = 24
"""Problems from which on factors, a fixed number of array operations, beat LAPACK's eigenvectors,
whose time grows with every problem."""

FIRST_DAMPING = 1e-2
"""Of the first step, in units of a curvature."""

MAX_STEP = 1.0
"""Longest step in one parameter; they are logarithms and exponents, so 1 is far."""


@dataclass(frozen=True)
class Minimum:
    """Where each of a batch of minimisations ended."""

    theta: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    at_bound: np.ndarray
    iterations: np.ndarray


def minimise(
    derivatives: Derivatives,
    theta: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    fixed: np.ndarray | None = None,
    max_iterations: int = 500,
    tolerance: float = 1e-11,
    known: Minimum | None = None,
    apart: float = 0.0,
) -> Minimum:
    """Damped Newton steps from every start until no parameter moves by more than `tolerance`.

    Negative curvature is reversed and a damping term, lowered after success and raised after
    failure, is added to every curvature; a parameter at a bound that it would leave is held there.

    Args:
        derivatives: What is minimised.
        theta: Starts, (batch, p).
        bounds: Lower and upper, (p,).
        fixed: Which parameters are held, (p,) of bool.
        max_iterations: Steps of each search at most.
        tolerance: Last step of a search.
        known: Minima of the same problems: a search that comes within `apart` of its own in every
            parameter, no lower than it, would end there and stops.
        apart: See `known`.
    """
    lower, upper = bounds
    theta = np.clip(theta, lower, upper).astype(float)
    held = np.zeros(theta.shape[1], bool) if fixed is None else fixed
    batch = len(theta)
    damping, iterations = np.full(batch, FIRST_DAMPING), np.zeros(batch, int)
    value, gradient, hessian = derivatives(theta, np.arange(batch))
    live = np.arange(batch)
    for _ in range(max_iterations):
        if not len(live):
            break
        blocked = held | _blocked(theta[live], gradient[live], bounds)
        step = _step(gradient[live], hessian[live], blocked, damping[live])
        trial = np.clip(theta[live] + step, lower, upper)
        moved = np.abs(trial - theta[live]).max(axis=1)
        new = derivatives(trial, live)
        better = new[0] < value[live]
        rows = live[better]
        theta[rows] = trial[better]
        value[rows], gradient[rows], hessian[rows] = (part[better] for part in new)
        damping[rows] *= 0.1
        damping[live[~better]] = np.maximum(damping[live[~better]] * 4, 1e-8)
        iterations[live] += 1
        searching = (moved > tolerance) & (damping[live] < 1e12)
        if known is not None:
            away = np.abs(theta[live] - known.theta[live]).max(axis=1) > apart
            searching &= away | (value[live] < known.value[live])
        live = live[searching]
    at_bound = _blocked(theta, gradient, bounds)
    return Minimum(theta, value, gradient, hessian, held | at_bound, iterations)


def _blocked(
    theta: np.ndarray, gradient: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    lower, upper = bounds
    return ((theta <= lower) & (gradient > 0)) | ((theta >= upper) & (gradient < 0))


def _step(
    gradient: np.ndarray, hessian: np.ndarray, blocked: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    """Damped Newton steps (batch, p) in coordinates where the Hessian has a unit diagonal."""
    free = ~blocked
    gradient = gradient * free
    diagonal = np.abs(np.einsum("bii->bi", hessian))
    scale = free / np.sqrt(np.maximum(diagonal, 1e-12))
    scaled = hessian * scale[:, :, None] * scale[:, None, :]
    pull = gradient * scale
    if len(scaled) < FEWEST_FACTORED:
        step = _by_axes(scaled, pull, damping)
    else:
        step, definite = _by_factors(scaled, pull, damping, blocked)
        bent = np.flatnonzero(~definite)
        if len(bent):
            step[bent] = _by_axes(scaled[bent], pull[bent], damping[bent])
    step *= -scale
    longest = np.abs(step).max(axis=1, keepdims=True)
    return step * np.minimum(1.0, MAX_STEP / np.maximum(longest, 1e-300))


def _by_axes(hessian: np.ndarray, pull: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """(|H| + damping)^-1 pull, (batch, p), by eigenvectors: curvature of either sign."""
    curvature, axes = np.linalg.eigh(hessian)
    along = np.einsum("bji,bj->bi", axes, pull)
    length = along / np.maximum(np.abs(curvature) + damping[:, None], 1e-300)
    return np.einsum("bij,bj->bi", axes, length)


def _by_factors(
    hessian: np.ndarray, pull: np.ndarray, damping: np.ndarray, blocked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(H + damping)^-1 pull by LDL' factors, all of the batch in one sweep over the columns.

    Returns:
        The solution, (batch, p), and where it holds, (batch,): H + damping is positive definite.
    """
    p = pull.shape[1]
    h = np.moveaxis(hessian, 0, -1).copy()
    h[np.arange(p), np.arange(p)] += damping + blocked.T
    x = pull.T.copy()
    definite = np.ones(len(pull), dtype=bool)
    with np.errstate(all="ignore"):  # rows that are not definite are solved elsewhere
        for j in range(p):
            definite &= h[j, j] > 0
            ratio = h[j + 1 :, j] / h[j, j]
            h[j + 1 :, j + 1 :] -= ratio[:, None] * h[j, j + 1 :]
            x[j + 1 :] -= ratio * x[j]
        for j in reversed(range(p)):
            x[j] = (x[j] - (h[j, j + 1 :] * x[j + 1 :]).sum(axis=0)) / h[j, j]
    return x.T, definite & np.isfinite(x).all(axis=0)
