"""The power laws of Kaplan et al. 2020: L(N), L(D), L(C) and the joint L(N, D); none has a floor E.

The one-variable laws need losses that the other variables do not limit. They are fitted to the
frontier: the runs that no run of smaller or equal N (D, C) beats.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from analysis.checks import checked_runs
from analysis.powerlaw import PowerLaw, fit_power_law
from analysis.surface import SIX_ND, Allocation, Cost, FitError, Numbers, Status

PUBLISHED_N_OPT = (1.3e9, 0.73)
"""N_opt = 1.3e9 (C_min in PF-days)^0.73, non-embedding parameters: Kaplan et al. 2020, table 6."""

PF_DAY = 1e15 * 24 * 3600


@dataclass(frozen=True)
class KaplanJoint:
    """L(N, D) = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D (Kaplan et al. 2020, eq. 1.5)."""

    N_c: float
    D_c: float
    alpha_N: float
    alpha_D: float
    cost: Cost
    rms: float
    status: Status

    def loss(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        size = (self.N_c / np.asarray(n_params)) ** (self.alpha_N / self.alpha_D)
        return (size + self.D_c / np.asarray(n_tokens)) ** self.alpha_D

    @property
    def a(self) -> float:
        """Exponent of N_opt ~ C^a for this surface: 1 / (gamma + alpha_N/alpha_D)."""
        return 1 / (float(self.cost.gamma) + self.alpha_N / self.alpha_D)

    @property
    def b(self) -> float:
        return 1 - float(self.cost.gamma) * self.a

    def optimal(self, flops: Numbers) -> Allocation:
        """Loss-optimal N and D: where d/dN of (N_c/N)^p + D_c k N^gamma / C vanishes."""
        p, gamma, k = self.alpha_N / self.alpha_D, float(self.cost.gamma), float(self.cost.k)
        flops = np.asarray(flops, dtype=float)
        power = p * self.N_c**p * flops / (gamma * k * self.D_c)
        n_params = power ** (1 / (p + gamma))
        n_tokens = self.cost.n_tokens(n_params, flops)
        return Allocation(flops, n_params, n_tokens, self.loss(n_params, n_tokens))


def fit_joint(
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    loss: np.ndarray,
    *,
    delta: float = 1e-3,
    cost: Cost = SIX_ND,
) -> KaplanJoint:
    """Fit the joint law by Huber loss on log residuals, from a grid of twelve starts.

    Args:    n_params, n_tokens, loss: (runs,), > 0; delta: width of the Huber loss, > 0.
    Raises:  FitError: fewer than four runs, values that are not positive and finite.
    """
    n_params, n_tokens, loss = checked_runs(n_params, n_tokens, loss, least=4)
    u, v, y = np.log(n_params), np.log(n_tokens), np.log(loss)

    def residual(theta: np.ndarray) -> np.ndarray:
        size, data, p, log_alpha = theta
        both = np.logaddexp(size - p * (u - u.mean()), data - (v - v.mean()))
        return np.exp(log_alpha) * both - y

    best = None
    for p in (0.3, 0.7, 1.2, 2.0):
        for alpha in (0.05, 0.15, 0.4):
            level = float(y.mean()) / alpha - np.log(2)
            found = least_squares(
                residual,
                [level, level, p, np.log(alpha)],
                loss="huber",
                f_scale=delta,
                x_scale=[1.0, 1.0, 0.3, 0.3],
                max_nfev=400,
            )
            best = found if best is None or found.cost < best.cost else best
    assert best is not None  # the grid of starts is not empty
    return _joint(best.x, float(u.mean()), float(v.mean()), residual(best.x), best.success, cost)


def frontier(x: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Indices, by x, of the runs whose loss is below that of every run of smaller or equal x."""
    order = np.lexsort((loss, x))
    best = np.minimum.accumulate(loss[order])
    return order[np.flatnonzero(np.diff(best, prepend=np.inf) < 0)]


def fit_frontier(x: np.ndarray, loss: np.ndarray) -> PowerLaw:
    """L = (x_c/x)^alpha through the frontier; `exponent` is -alpha.

    Raises:  FitError: fewer than three runs on the frontier.
    """
    rows = frontier(x, loss)
    if len(rows) < 3:
        raise FitError(f"{len(rows)} run(s) on the frontier; a power law needs at least 3")
    return fit_power_law(x[rows], loss[rows])


def published_n_opt(flops: Numbers) -> Numbers:
    """Kaplan et al.'s own line for N_opt, non-embedding parameters, C in FLOPs."""
    coefficient, exponent = PUBLISHED_N_OPT
    return coefficient * (np.asarray(flops) / PF_DAY) ** exponent


def _joint(
    theta: np.ndarray, u_mean: float, v_mean: float, residual: np.ndarray, ok: bool, cost: Cost
) -> KaplanJoint:
    size, data, p, log_alpha = (float(value) for value in theta)
    status: Status = "converged" if ok else "max_iterations"
    if p <= 0.01 or p > 20 or not -7 < log_alpha < 2:
        status = "bound_hit"
    with np.errstate(over="ignore"):
        return KaplanJoint(
            N_c=float(np.exp(size / p + u_mean)),
            D_c=float(np.exp(data + v_mean)),
            alpha_N=p * float(np.exp(log_alpha)),
            alpha_D=float(np.exp(log_alpha)),
            cost=cost,
            rms=float(np.sqrt(np.mean(residual**2))),
            status=status,
        )
