"""How well runs determine the parametric surface: Fisher information under seed noise on log L.

With log L = log L(N, D) + sigma z, the information about theta = (log E, log A, log B, alpha,
beta) is J'J / sigma^2, where J holds the derivatives of log L(N, D). Its inverse is the covariance
that no unbiased fit falls below (Cramer and Rao), and that least squares reaches on many runs.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.errors import FitError
from analysis.fits.surface import Surface

N_PARAMETERS = 5
WORST_CONDITION = 1e12
"""Above this condition number of the scaled information the runs do not tell parameters apart."""


@dataclass(frozen=True)
class Precision:
    """Half-widths of 95 % intervals; NaN where the runs do not determine a quantity."""

    a: float
    b: float
    E: float
    alpha: float
    beta: float


def jacobian(surface: Surface, n_params: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
    """d log L / d (log E, log A, log B, alpha, beta) of runs, (runs, 5).

    With p the shares of the three terms in the loss: p_E, p_A, p_B, -p_A log N, -p_B log D.
    """
    n_params, n_tokens = np.asarray(n_params, dtype=float), np.asarray(n_tokens, dtype=float)
    size, data = surface.A / n_params**surface.alpha, surface.B / n_tokens**surface.beta
    loss = surface.E + size + data
    shares = [surface.E / loss, size / loss, data / loss]
    return np.stack(
        [*shares, -shares[1] * np.log(n_params), -shares[2] * np.log(n_tokens)], axis=-1
    )


def gradients(surface: Surface) -> dict[str, np.ndarray]:
    """Gradients of a = beta / (alpha + gamma beta), b, E, alpha and beta over theta, (5,) each."""
    alpha, beta, gamma = float(surface.alpha), float(surface.beta), float(surface.cost.gamma)
    a = np.array([0.0, 0.0, 0.0, -beta, alpha]) / (alpha + gamma * beta) ** 2
    unit = np.eye(N_PARAMETERS)
    return {
        "a": a,
        "b": -gamma * a,
        "E": float(surface.E) * unit[0],
        "alpha": unit[3],
        "beta": unit[4],
    }


def covariance(rows: np.ndarray, noise: float) -> np.ndarray:
    """Covariance of theta, (5, 5), from the rows of `jacobian` and the noise of log L.

    Raises:  FitError: runs that do not tell the parameters apart.
    """
    information = rows.T @ rows
    scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information * scale[:, None] * scale[None, :]
    condition = float(np.linalg.cond(scaled))
    if len(rows) < N_PARAMETERS or not condition < WORST_CONDITION:
        raise FitError(
            f"{len(rows)} runs do not determine E, A, B, alpha and beta (condition "
            f"{condition:.1e}); expected several sizes at several token counts"
        )
    return noise**2 * np.linalg.inv(scaled) * scale[:, None] * scale[None, :]


def precision(
    surface: Surface, n_params: np.ndarray, n_tokens: np.ndarray, noise: float
) -> Precision:
    """The half-widths that a least-squares fit of these runs would reach, by the delta method.

    Args:    n_params, n_tokens: (runs,), a cell's seeds each as a run; noise: of log L.
    Student's t with runs - 5 degrees of freedom, since the noise is estimated along with the rest.
    """
    freedom = len(n_params) - N_PARAMETERS
    unknown = Precision(*[float("nan")] * 5)
    if freedom < 1:
        return unknown
    try:
        spread = covariance(jacobian(surface, n_params, n_tokens), noise)
    except FitError:
        return unknown
    wide = float(stats.t.ppf(0.975, freedom))
    return Precision(
        **{k: wide * float(np.sqrt(g @ spread @ g)) for k, g in gradients(surface).items()}
    )


def most_informative(
    surface: Surface,
    fitted: tuple[np.ndarray, np.ndarray],
    candidates: tuple[np.ndarray, np.ndarray],
    cost: np.ndarray,
    budget: float,
    quantity: str = "a",
    least: float = 0.0,
) -> list[tuple[int, float]]:
    """Candidates to run next, greedily by how much each FLOP lowers the variance of a quantity.

    A run with row j lowers g'Vg by (g'Vj)^2 / (1 + j'Vj), V being the covariance in units of the
    noise: its square cancels, so no noise need be known (Sherman and Morrison).
    Args:    fitted, candidates: n_params and n_tokens, (runs,) each; cost: FLOPs, (candidates,);
             least: share of the standard error that a run must take off.
    Returns: (index, factor that the standard error shrinks to by this run), in the order chosen,
             for as long as the budget lasts; each candidate at most once.
    Raises:  FitError: the fitted runs do not determine the surface.
    """
    spread = covariance(jacobian(surface, *fitted), 1.0)
    rows, g = jacobian(surface, *candidates), gradients(surface)[quantity]
    left, chosen = budget, []
    free = np.ones(len(cost), dtype=bool)
    while True:
        gain = (rows @ spread @ g) ** 2 / (1 + np.einsum("ci,ij,cj->c", rows, spread, rows))
        before = float(g @ spread @ g)
        allowed = free & (cost <= left) & (gain >= (1 - (1 - least) ** 2) * before)
        if not allowed.any():
            return chosen
        best = int(np.argmax(np.where(allowed, gain / cost, -1.0)))
        chosen.append((best, float(np.sqrt(max(0.0, 1 - gain[best] / before)))))
        free[best], left = False, left - float(cost[best])
        moved = spread @ rows[best]
        spread = spread - np.outer(moved, moved) / (1 + float(rows[best] @ moved))
