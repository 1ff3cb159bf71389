"""The data-constrained law of Muennighoff et al. 2023: repeated tokens are worth less than new
ones.

    L = E + A/N'^alpha + B/D'^beta
    D' = U (1 + R_D (1 - exp(-(epochs - 1) / R_D)))         U: unique tokens
    N' = V (1 + R_N (1 - exp(-(N/V - 1) / R_N)))            V: the N that U tokens are optimal for

R_D is the number of repetitions after which most of their value is gone (15.4 in the paper); R_N
the same for parameters beyond what the unique tokens warrant (5.3).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from analysis.data.cost_law import SIX_ND, Cost
from analysis.errors import FitError, Status
from analysis.fits.input_checks import checked_runs
from analysis.fits.parametric.fit import fit_parametric
from analysis.fits.surface import Surface

MOST = 1e4
"""Largest R searched: repetition is then as good as new data for any run there is."""


@dataclass(frozen=True)
class RepeatedFit:
    """The surface of unique data, the two decay constants, and the fit's rms of log residuals."""

    surface: Surface
    R_D: float
    R_N: float
    rms: float
    n_repeated: int
    most_epochs: float
    status: Status
    reason: str

    def loss(self, n_params: np.ndarray, n_tokens: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """Predicted loss of N parameters on n_tokens tokens, of which 1/epochs are unique."""
        unique = n_tokens / np.maximum(epochs, 1)
        return _loss(self.surface, n_params, n_tokens, unique, self.R_D, self.R_N)


def fit_repeated(
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    epochs: np.ndarray,
    loss: np.ndarray,
    *,
    delta: float = 1e-3,
    cost: Cost = SIX_ND,
) -> RepeatedFit:
    """Fit all seven parameters by Huber loss on log residuals.

    Starts come from the surface of the runs without repetition where they determine one, else from
    that of all runs, and from five values of R_D.

    Args:    arrays (runs,); epochs: passes over the training data, n_tokens / unique tokens.
    Raises:  FitError: fewer than three runs with more than one epoch, fewer than eight runs.
    """
    n_params, n_tokens, loss = checked_runs(n_params, n_tokens, loss, least=8)
    epochs = np.maximum(np.asarray(epochs, dtype=float), 1.0)
    repeated = epochs > 1.01
    if repeated.sum() < 3:
        raise FitError(f"{int(repeated.sum())} run(s) repeat data; the law needs at least 3")
    start = _base(n_params, n_tokens, loss, repeated, delta, cost)
    unique = n_tokens / epochs
    u_mean, v_mean = float(np.log(n_params).mean()), float(np.log(n_tokens).mean())

    def read(theta: np.ndarray) -> tuple[Surface, float, float]:
        e, a, b, alpha, beta, r_d, r_n = (float(value) for value in theta)
        big_a, big_b = float(np.exp(a + alpha * u_mean)), float(np.exp(b + beta * v_mean))
        surface = Surface(float(np.exp(e)), big_a, big_b, alpha, beta, cost)
        return surface, float(np.exp(r_d)), float(np.exp(r_n))

    def residual(theta: np.ndarray) -> np.ndarray:
        surface, r_d, r_n = read(theta)
        return np.log(_loss(surface, n_params, n_tokens, unique, r_d, r_n) / loss)

    first = [
        np.log(start.E),
        np.log(start.A) - start.alpha * u_mean,
        np.log(start.B) - start.beta * v_mean,
        start.alpha,
        start.beta,
    ]
    low = [-20, -30, -30, 0.01, 0.01, np.log(0.05), np.log(0.05)]
    high = [10, 30, 30, 5, 5, np.log(MOST), np.log(MOST)]
    ends = [
        least_squares(
            residual, np.clip([*first, np.log(r_d), np.log(5.0)], low, high), bounds=(low, high),
            loss="huber", f_scale=max(delta, 1e-6), x_scale=[0.3, 0.3, 0.3, 0.1, 0.1, 1, 1],
        )
        for r_d in (1.0, 4.0, 15.0, 60.0, 300.0)
    ]  # fmt: skip
    best = min(ends, key=lambda end: end.cost)
    surface, r_d, r_n = read(best.x)
    status, reason = _conclusion(bool(best.success), r_d, r_n, n_params, unique, surface)
    rms = float(np.sqrt(np.mean(residual(best.x) ** 2)))
    return RepeatedFit(
        surface, r_d, r_n, rms, int(repeated.sum()), float(epochs.max()), status, reason
    )


def effective(value: np.ndarray, unique: np.ndarray, decay: float) -> np.ndarray:
    """Worth of `value` of which `unique` is new: unique (1 + R (1 - exp(-(value/unique -
    1)/R))).
    """
    repeats = np.maximum(value / unique - 1, 0)
    return unique * (1 - decay * np.expm1(-repeats / decay))


def _loss(
    surface: Surface,
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    unique: np.ndarray,
    r_d: float,
    r_n: float,
) -> np.ndarray:
    tokens = effective(n_tokens, unique, r_d)
    return np.asarray(
        surface.loss(effective(n_params, _warranted(surface, n_params, unique), r_n), tokens)
    )


def _warranted(surface: Surface, n_params: np.ndarray, unique: np.ndarray) -> np.ndarray:
    """The part of N that the unique tokens are compute-optimal for, at most N.

    N_opt and D_opt are joined by alpha A/N^alpha = gamma beta B/D^beta.
    """
    ratio = surface.alpha * surface.A / (surface.cost.gamma * surface.beta * surface.B)
    return np.minimum(n_params, (ratio * unique**surface.beta) ** (1 / surface.alpha))


def _base(
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    loss: np.ndarray,
    repeated: np.ndarray,
    delta: float,
    cost: Cost,
) -> Surface:
    for rows in (~repeated, np.ones_like(repeated)):
        if rows.sum() >= 8:
            fit = fit_parametric(n_params[rows], n_tokens[rows], loss[rows], delta=delta, cost=cost)
            if fit.usable:
                return fit.surface
    raise FitError("no surface fits the runs well enough to start from; add sizes and budgets")


def _conclusion(
    success: bool,
    r_d: float,
    r_n: float,
    n_params: np.ndarray,
    unique: np.ndarray,
    surface: Surface,
) -> tuple[Status, str]:
    if not (0.051 < r_d < 0.99 * MOST):
        return "bound_hit", "R_D ran to the edge of what is searched"
    if not np.any(n_params > 1.05 * _warranted(surface, n_params, unique)):
        return "degenerate", "no run is larger than its unique tokens warrant, so R_N is free"
    if not (0.051 < r_n < 0.99 * MOST):
        return "bound_hit", "R_N ran to the edge of what is searched"
    return ("converged", "") if success else ("max_iterations", "the optimiser ran out of steps")
