"""The power laws of Kaplan et al. 2020: L(N), L(D), L(C) and the joint L(N, D), all without E.

The one-variable laws need losses that the other variables do not limit. They are fitted to the
frontier: the runs that no run of smaller or equal N (D, C) beats.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, least_squares

from analysis.data.cost_law import SIX_ND, Cost
from analysis.errors import FitError, Numbers, Status
from analysis.fits.input_checks import checked_runs, undetermined
from analysis.fits.surface import Allocation
from analysis.stats.power_law import PowerLaw, fit_power_law

PUBLISHED_N_OPT = (1.3e9, 0.73)
"""N_opt = 1.3e9 (C_min in PF-days)^0.73, non-embedding parameters: Kaplan et al. 2020, table 6."""

PF_DAY = 1e15 * 24 * 3600

LARGEST_LOG = 700.0
"""Of a coefficient; beyond it the range of floats ends, and runs determine nothing long before."""


@dataclass(frozen=True)
class KaplanJoint:
    """L(N, D) = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D (Kaplan et al. 2020, eq. 1.5).

    Parameters are floats, or arrays (draws of a bootstrap); `rms` is of the log residuals.
    """

    N_c: Numbers
    D_c: Numbers
    alpha_N: Numbers
    alpha_D: Numbers
    cost: Cost
    rms: float
    status: Status

    def loss(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        # In logarithms: N_c^p leaves the range of floats where the runs hardly determine N_c.
        p = self.alpha_N / self.alpha_D
        size, data = p * np.log(self.N_c / n_params), np.log(self.D_c / n_tokens)
        return np.exp(self.alpha_D * np.logaddexp(size, data))

    @property
    def a(self) -> Numbers:
        """Exponent of N_opt ~ C^a for this surface: 1 / (gamma + alpha_N/alpha_D)."""
        return 1 / (self.cost.gamma + self.alpha_N / self.alpha_D)

    @property
    def b(self) -> Numbers:
        return 1 - self.cost.gamma * self.a

    def optimal(self, flops: Numbers) -> Allocation:
        """Loss-optimal N and D: where d/dN of (N_c/N)^p + D_c k N^gamma / C vanishes."""
        p, gamma, k = self.alpha_N / self.alpha_D, self.cost.gamma, self.cost.k
        flops = np.asarray(flops, dtype=float)
        log_power = np.log(p * flops / (gamma * k * self.D_c)) + p * np.log(self.N_c)
        n_params = np.exp(log_power / (p + gamma))
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
    Raises:  FitError: fewer than four runs, too few sizes, token counts or budgets to tell the
             parameters apart, values that are not positive and finite.
    """
    n_params, n_tokens, loss = checked_runs(n_params, n_tokens, loss, least=4)
    reason = undetermined(n_params, n_tokens, np.ones(len(loss)), {})
    if reason:
        raise FitError(reason)
    u, v, y = np.log(n_params), np.log(n_tokens), np.log(loss)
    residual = _residual(u, v, y)
    starts = [
        [level, level, p, np.log(alpha)]
        for p in (0.3, 0.7, 1.2, 2.0)
        for alpha in (0.05, 0.15, 0.4)
        for level in (float(y.mean()) / alpha - np.log(2),)
    ]
    ends = [_minimised(residual, start, delta) for start in starts]
    best = min(ends, key=lambda end: end.cost)
    rms = float(np.sqrt(np.mean(residual(best.x) ** 2)))
    return _joint(best.x, float(u.mean()), float(v.mean()), rms, bool(best.success), cost)


def refit_joint(
    joint: KaplanJoint,
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    loss: np.ndarray,
    weights: np.ndarray,
    *,
    delta: float = 1e-3,
) -> KaplanJoint:
    """The same law under other weights (draws, runs), each from the full fit: a law of arrays."""
    u, v, y = np.log(n_params), np.log(n_tokens), np.log(loss)
    p = float(joint.alpha_N / joint.alpha_D)
    size = p * (np.log(joint.N_c) - u.mean())
    start = [size, np.log(joint.D_c) - v.mean(), p, np.log(joint.alpha_D)]
    thetas = []
    for row in weights:
        drawn = np.repeat(np.arange(len(y)), row.astype(int))
        own = _residual(u[drawn], v[drawn], y[drawn], float(u.mean()), float(v.mean()))
        thetas.append(_minimised(own, start, delta).x)
    theta = np.array(thetas).T
    return _joint(theta, float(u.mean()), float(v.mean()), joint.rms, True, joint.cost)


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


def _residual(
    u: np.ndarray,
    v: np.ndarray,
    y: np.ndarray,
    u_mean: float | None = None,
    v_mean: float | None = None,
) -> Callable[[np.ndarray], np.ndarray]:
    """log L_fit - log L as a function of (N-term and D-term at the centre, p, log alpha_D)."""
    u = u - (u.mean() if u_mean is None else u_mean)
    v = v - (v.mean() if v_mean is None else v_mean)

    def residual(theta: np.ndarray) -> np.ndarray:
        size, data, p, log_alpha = theta
        return np.exp(log_alpha) * np.logaddexp(size - p * u, data - v) - y

    return residual


def _minimised(
    residual: Callable[[np.ndarray], np.ndarray], start: Sequence[float], delta: float
) -> OptimizeResult:
    scale = [1.0, 1.0, 0.3, 0.3]
    # Huber's loss of infinite width is least squares; scipy would divide by the width.
    loss, width = ("linear", 1.0) if np.isinf(delta) else ("huber", delta)
    return least_squares(residual, start, loss=loss, f_scale=width, x_scale=scale, max_nfev=400)


def _joint(
    theta: np.ndarray, u_mean: float, v_mean: float, rms: float, ok: bool, cost: Cost
) -> KaplanJoint:
    """The law of a parameter vector (4,), or of vectors (4, draws)."""
    size, data, p, log_alpha = theta
    status: Status = "converged" if ok else "max_iterations"
    if not np.all((p > 0.01) & (p < 20) & (log_alpha > -7) & (log_alpha < 2)):
        status = "bound_hit"
    logs = size / p + u_mean, data + v_mean
    if np.max(np.abs(logs)) > LARGEST_LOG:
        status = "bound_hit"
    n_c, d_c = np.exp(np.clip(logs, -LARGEST_LOG, LARGEST_LOG))
    values = n_c, d_c, p * np.exp(log_alpha), np.exp(log_alpha)
    if np.ndim(size) == 0:
        values = tuple(float(value) for value in values)
    return KaplanJoint(*values, cost=cost, rms=rms, status=status)
