"""The least loss that a budget buys: L(C) = E + k C^-g through the minima of approach 1 or 2.

On a surface L = E + A/N^alpha + B/D^beta with cost C = k N^gamma D the optimal losses follow this
law exactly, with the surface's E and g = alpha a. Three minima do not tell E from a slow power
law; they get the pure power law of Kaplan et al. 2020, E = 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError, Numbers, Status

EXPONENTS = np.geomspace(0.01, 3.0, 90)
"""Exponents g that are searched before the best one is refined."""

LEAST_POINTS = 3
E_POINTS = 4
"""Points that a pure power law needs, and a law with an irreducible loss E."""


@dataclass(frozen=True)
class LossLaw:
    """L(C) = E + drop (C/centre)^-g; floats, or arrays of draws that broadcast against C.

    Writing the power about a `centre` among the budgets keeps `drop` a loss: what is left to gain
    there. `n_points` is what the law was fitted to.
    """

    E: Numbers
    drop: Numbers
    g: Numbers
    centre: float
    n_points: int
    status: Status = "converged"
    reason: str = ""

    def __call__(self, flops: Numbers) -> Numbers:
        return self.E + self.drop * (np.asarray(flops, dtype=float) / self.centre) ** -self.g

    @property
    def k(self) -> Numbers:
        """The coefficient of C^-g."""
        return self.drop * self.centre**self.g

    @property
    def extrapolates(self) -> bool:
        """Whether its draws say how far it may be off beyond the points: not a power law through
        three of them, whose interval at ten times the compute held the truth in 14 % of simulated
        sweeps (benchmarks/coverage.py).
        """
        return self.n_points >= E_POINTS


def fit_loss_law(flops: np.ndarray, loss: np.ndarray, errors: np.ndarray | None = None) -> LossLaw:
    """L = E + k C^-g, E >= 0, by weighted least squares on relative losses.

    Args:    flops, loss: (points,), > 0; errors: standard errors of log loss, (points,); None for
             equal ones.
    Returns: the law; of three points with E = 0. `bound_hit` where E ran to 0 or g to an end of
             what is searched, `degenerate` where the losses do not fall with compute.
    Raises:  FitError: fewer than three distinct budgets, or values not positive and finite.
    """
    flops, loss = np.asarray(flops, dtype=float), np.asarray(loss, dtype=float)
    if not np.all(np.isfinite(flops) & np.isfinite(loss) & (flops > 0) & (loss > 0)):
        raise FitError("a law of the least loss needs positive finite budgets and losses")
    n_points = len(np.unique(flops))
    if n_points < LEAST_POINTS:
        raise FitError(
            f"{n_points} minima do not determine how the least loss falls with compute; expected "
            f"at least {LEAST_POINTS} budgets, and {E_POINTS} for an irreducible loss E"
        )
    centre = float(np.exp(np.log(flops).mean()))
    weights = np.ones_like(loss) if errors is None else 1 / np.asarray(errors) ** 2
    with_E = n_points >= E_POINTS
    rows = np.log(flops / centre)[None], loss[None], weights[None]
    E, drop, g = (float(value[0]) for value in _fitted(*rows, with_E))
    if not _falls(*rows)[0]:
        status, reason = "degenerate", "the least losses do not fall with compute"
    else:
        status, reason = _conclusion(E / float(loss.min()), g, with_E)
    return LossLaw(E, drop, g, centre, n_points, status, reason)


def refit_loss_law(
    law: LossLaw, flops: np.ndarray, loss: np.ndarray, errors: np.ndarray | None = None
) -> LossLaw:
    """The same law of many redrawn sets of points, as one law of arrays (draws, 1).

    Args:    flops: (draws, points) or (points,); loss: (draws, points); errors: (points,). A draw
             that holds NaN, or whose losses do not fall, has a law of NaN.
    """
    x = np.broadcast_to(np.log(np.asarray(flops) / law.centre), loss.shape)
    weights = np.ones(loss.shape[1]) if errors is None else 1 / np.asarray(errors) ** 2
    weights = np.broadcast_to(weights, loss.shape)
    drawn = np.flatnonzero(np.isfinite(loss + x).all(axis=1))
    drawn = drawn[_falls(x[drawn], loss[drawn], weights[drawn])]
    values = np.full((3, len(loss)), np.nan)
    with_E = law.n_points >= E_POINTS
    values[:, drawn] = _fitted(x[drawn], loss[drawn], weights[drawn], with_E)
    return LossLaw(*values[:, :, None], centre=law.centre, n_points=law.n_points)


def redrawn(
    loss: np.ndarray,
    covariance: np.ndarray,
    freedom: float,
    n_draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Losses with the errors of their logs, (draws, points): normal, of a variance that is itself
    known to `freedom` degrees of freedom.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    normal = rng.normal(size=(n_draws, len(loss))) @ root.T
    if np.isfinite(freedom):
        normal /= np.sqrt(rng.chisquare(max(freedom, 1), (n_draws, 1)) / max(freedom, 1))
    return loss * np.exp(normal)


def _fitted(
    x: np.ndarray, loss: np.ndarray, weights: np.ndarray, with_E: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E, drop and g of each row (draws, points): for a given g the law is linear in the others."""

    def cost(g: np.ndarray) -> np.ndarray:
        return _linear(g, x, loss, weights, with_E)[2]

    costs = np.stack([cost(np.full(len(loss), g)) for g in EXPONENTS])
    best = costs.argmin(axis=0)
    low = np.log(EXPONENTS[np.maximum(best - 1, 0)])
    high = np.log(EXPONENTS[np.minimum(best + 1, len(EXPONENTS) - 1)])
    g = np.exp(_golden(lambda log_g: cost(np.exp(log_g)), low, high))
    E, drop, _ = _linear(g, x, loss, weights, with_E)
    return E, drop, g


def _linear(
    g: np.ndarray, x: np.ndarray, loss: np.ndarray, weights: np.ndarray, with_E: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of (E + drop u) / loss = 1 with u = exp(-g x), E >= 0; its residual sum."""
    u = np.exp(-g[:, None] * x) / loss
    one = 1 / loss
    uu, uo, oo = (np.sum(weights * p * q, axis=1) for p, q in ((u, u), (u, one), (one, one)))
    u1, o1 = (np.sum(weights * p, axis=1) for p in (u, one))
    drop, E = u1 / uu, np.zeros_like(g)
    if with_E:
        determinant = uu * oo - uo**2
        with np.errstate(divide="ignore", invalid="ignore"):
            free = (uu * o1 - uo * u1) / determinant
        inside = (free > 0) & (determinant > 1e-14 * uu * oo)
        E = np.where(inside, free, 0.0)
        drop = np.where(inside, (u1 - E * uo) / uu, drop)
    residual = E[:, None] * one + drop[:, None] * u - 1
    return E, drop, np.sum(weights * residual**2, axis=1)


def _golden(
    cost: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, steps: int = 45
) -> np.ndarray:
    """Minimum of one function a row, each within its own bracket, by golden section."""
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(steps):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        keep = cost(left) <= cost(right)
        low, high = np.where(keep, low, left), np.where(keep, right, high)
    return (low + high) / 2


def _falls(x: np.ndarray, loss: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Whether the straight line through log loss goes down, a row each, (draws,)."""
    centred = x - np.average(x, axis=1, weights=weights)[:, None]
    return np.sum(weights * centred * np.log(loss), axis=1) < 0


def _conclusion(E_share: float, g: float, with_E: bool) -> tuple[Status, str]:
    """The status of a law that falls; `E_share` is E as a share of the least loss."""
    if not with_E:
        return (
            "converged",
            "three budgets do not determine E: a pure power law, E = 0",
        )
    if E_share < 1e-4:
        return (
            "bound_hit",
            "the data show no E: it ran to 0, which leaves a pure power law",
        )
    if not EXPONENTS[0] * 1.01 < g < EXPONENTS[-1] / 1.01:
        return "bound_hit", f"the exponent g={g:.3g} ran to the end of what is searched"
    return "converged", ""
