"""Huber loss of residuals under the parametric surface, with its exact gradient and Hessian.

The surface is written as a log-sum-exp (Hoffmann et al. 2022, appendix D.2), so that no parameter
needs a sign constraint: log L = LSE(e, a - alpha u, b - beta v), where u = log N and v = log D.
Here u and v are centred, which takes the near-collinearity of (a, alpha) and of (b, beta) out of
the problem. Residuals are of log L (the literature's default) or of L itself, in the unit of the
losses. All functions work on a batch of parameter vectors, each with its own weights on the
same runs: a bootstrap is one call.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.data.cost_law import Cost
from analysis.fits.surface import Surface

_LARGEST_LOG = 600.0
"""Of a term over E: what a search may try far from any fit, short of the range of floats."""

_CACHED_CELLS = 16_000
"""Parameter vectors times runs worked on at once: arrays of 128 kB. The system is asked for each
that is larger, which took half of the time."""


@dataclass(frozen=True)
class LogRuns:
    """Runs in logarithms: u = log N - u_mean, v = log D - v_mean, y = log L, each (runs,)."""

    u: np.ndarray
    v: np.ndarray
    y: np.ndarray
    u_mean: float
    v_mean: float

    @classmethod
    def of(
        cls, n_params: np.ndarray, n_tokens: np.ndarray, loss: np.ndarray, *, centred: bool = True
    ) -> "LogRuns":
        u, v = np.log(n_params), np.log(n_tokens)
        u_mean, v_mean = (float(u.mean()), float(v.mean())) if centred else (0.0, 0.0)
        return cls(u - u_mean, v - v_mean, np.log(loss), u_mean, v_mean)

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def loss(self) -> np.ndarray:
        return np.exp(self.y)

    def take(self, rows: np.ndarray) -> "LogRuns":
        """Some of the runs, about the same centre: parameter vectors keep their meaning."""
        return replace(self, u=self.u[rows], v=self.v[rows], y=self.y[rows])

    def surface(self, theta: np.ndarray, cost: Cost) -> Surface:
        """Parameter vectors (..., 5) = (e, a, b, alpha, beta) as a surface in N and D."""
        e, a, b, alpha, beta = np.moveaxis(np.asarray(theta), -1, 0)
        values = (
            np.exp(e),
            np.exp(a + alpha * self.u_mean),
            np.exp(b + beta * self.v_mean),
            alpha,
            beta,
        )
        if np.ndim(e) == 0:
            values = tuple(float(value) for value in values)
        return Surface(*values, cost=cost)

    def theta(self, surface: Surface) -> np.ndarray:
        """The parameter vector (5,) of a surface; the inverse of `surface`."""
        return np.array([
            np.log(surface.E),
            np.log(surface.A) - surface.alpha * self.u_mean,
            np.log(surface.B) - surface.beta * self.v_mean,
            surface.alpha,
            surface.beta,
        ])  # fmt: skip


@dataclass(frozen=True)
class Penalty:
    """Huber's loss: r^2/2 within delta of 0, delta (|r| - delta/2) beyond; inf is least squares.

    `residual` says of what: log gives r = log L_fit - log L, loss gives r = L_fit - L. Runs above
    the surface (r < 0) count `above` times: below 1, runs that were tuned or trained less well than
    the others pull the surface up less.
    """

    delta: float = 1e-3
    above: float = 1.0
    residual: str = "log"

    def widened(self, factor: float) -> "Penalty":
        return replace(self, delta=self.delta * factor)


def residuals(theta: np.ndarray, runs: LogRuns, residual: str = "log") -> np.ndarray:
    """log L_fit - log L, or L_fit - L, of every run, (batch, runs); parameters (batch, 5)."""
    return _terms(theta, runs, residual)


def objective(
    theta: np.ndarray, runs: LogRuns, weights: np.ndarray, penalty: Penalty
) -> np.ndarray:
    """Weighted sum of Huber losses, (batch,); weights (batch, runs) or (1, runs)."""
    return penalised(residuals(theta, runs, penalty.residual), weights, penalty)


def penalised(r: np.ndarray, weights: np.ndarray, penalty: Penalty) -> np.ndarray:
    """Weighted sum of Huber losses of residuals (batch, runs), (batch,)."""
    weights = one_sided(weights, r, penalty)
    slope = np.clip(r, -penalty.delta, penalty.delta)
    return np.einsum("bn,bn->b", weights * slope, r - slope / 2)


def derivatives(
    theta: np.ndarray, runs: LogRuns, weights: np.ndarray, penalty: Penalty
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The objective (batch,), its gradient (batch, 5) and its Hessian (batch, 5, 5).

    With t the logarithms of the three terms, which are linear in the parameters: for residuals of
    log L and p the softmax of t, dr/dt_i = p_i and d2r/dt_i dt_j = p_i [i = j] - p_i p_j; for those
    of L and p the terms themselves, dr/dt_i = p_i and d2r/dt_i dt_j = p_i [i = j].
    """
    rows = max(1, _CACHED_CELLS // len(runs))
    if len(theta) <= rows:
        return _derivatives(theta, runs, weights, penalty)
    parts = [
        _derivatives(
            theta[i : i + rows],
            runs,
            weights if len(weights) == 1 else weights[i : i + rows],
            penalty,
        )
        for i in range(0, len(theta), rows)
    ]
    value, gradient, hessian = (np.concatenate(column) for column in zip(*parts, strict=True))
    return value, gradient, hessian


def _derivatives(
    theta: np.ndarray, runs: LogRuns, weights: np.ndarray, penalty: Penalty
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, v = runs.u, runs.v
    jacobian = np.empty((len(theta), 5, len(runs)))
    r = _terms(theta, runs, penalty.residual, jacobian[:, :3])
    np.multiply(jacobian[:, 1], -u, out=jacobian[:, 3])
    np.multiply(jacobian[:, 2], -v, out=jacobian[:, 4])
    weights = one_sided(weights, r, penalty)
    slope = np.clip(r, -penalty.delta, penalty.delta)
    pull = weights * slope
    value = np.einsum("bn,bn->b", pull, r) - np.einsum("bn,bn->b", pull, slope) / 2
    gradient = (jacobian @ pull[:, :, None])[:, :, 0]

    inside = np.abs(r) <= penalty.delta
    curvature = weights * (inside - slope if penalty.residual == "log" else inside)
    hessian = (jacobian * curvature[:, None, :]) @ np.swapaxes(jacobian, 1, 2)
    # The second derivatives of r add sums that the gradient holds already, save for the squares.
    hessian[:, 0, 0] += gradient[:, 0]
    for scale, exponent, square in ((1, 3, u * u), (2, 4, v * v)):
        hessian[:, scale, scale] += gradient[:, scale]
        hessian[:, scale, exponent] += gradient[:, exponent]
        hessian[:, exponent, scale] += gradient[:, exponent]
        hessian[:, exponent, exponent] += (pull * jacobian[:, scale]) @ square
    return value, gradient, hessian


def _terms(
    theta: np.ndarray, runs: LogRuns, residual: str, slopes: np.ndarray | None = None
) -> np.ndarray:
    """The residual of each run, (batch, runs); its derivatives by the logarithms of the three terms
    are written to `slopes` (batch, 3, runs).
    """
    e = theta[:, :1]
    # As multiples of E, whose own exponential is then 1; this is where fits spend their time.
    size = _exponential(theta[:, 1:2] - e, theta[:, 3:4], runs.u)
    data = _exponential(theta[:, 2:3] - e, theta[:, 4:5], runs.v)
    total = size + data
    total += 1.0
    if residual == "loss":
        scale, r = np.exp(e), None
    else:
        scale, r = 1.0 / total, np.log(total)
        r += e - runs.y
    if slopes is not None:
        slopes[:, 0] = scale
        np.multiply(size, scale, out=slopes[:, 1])
        np.multiply(data, scale, out=slopes[:, 2])
    return scale * total - runs.loss if r is None else r


def _exponential(level: np.ndarray, exponent: np.ndarray, x: np.ndarray) -> np.ndarray:
    """exp(level - exponent x), (batch, runs), short of overflow."""
    power = exponent * -x
    power += level
    np.minimum(power, _LARGEST_LOG, out=power)
    return np.exp(power, out=power)


def one_sided(weights: np.ndarray, r: np.ndarray, penalty: Penalty) -> np.ndarray:
    """Weights with those of runs above the surface times `above`."""
    return weights if penalty.above == 1 else weights * np.where(r < 0, penalty.above, 1.0)
