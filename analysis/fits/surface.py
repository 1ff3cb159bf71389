"""The loss surface L(N, D) = E + A/N^alpha + B/D^beta and what it says about spending a budget.

A budget buys C = k N^gamma D FLOPs. The rule of thumb is k = 6 and gamma = 1; counting attention
FLOPs makes small models dearer a parameter, gamma < 1, and the optimum stays in closed form.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from train.config.spec import IsoflopError

Status = Literal["converged", "max_iterations", "bound_hit", "degenerate"]
Numbers = float | np.ndarray
"""One value, or an array of them; every formula here broadcasts."""

PARAMETERS = ("E", "A", "B", "alpha", "beta")


class FitError(IsoflopError):
    """Arguments from which nothing can be fitted; a fit that merely failed is a status."""


@dataclass(frozen=True)
class Cost:
    """FLOPs of training N parameters on D tokens: C = k N^gamma D."""

    k: Numbers = 6.0
    gamma: Numbers = 1.0

    def flops(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        return self.k * n_params**self.gamma * n_tokens

    def n_tokens(self, n_params: Numbers, flops: Numbers) -> Numbers:
        return flops / (self.k * n_params**self.gamma)


SIX_ND = Cost()
"""The rule of thumb C = 6 N D."""


@dataclass(frozen=True)
class Allocation:
    """How budgets are best spent; arrays of one shape, losses in the unit of the fitted losses."""

    flops: Numbers
    n_params: Numbers
    n_tokens: Numbers
    loss: Numbers


@dataclass(frozen=True)
class Surface:
    """L(N, D) = E + A/N^alpha + B/D^beta, the parametric form of Hoffmann et al. 2022, eq. 2.

    Parameters are floats, or arrays (draws of a bootstrap) that broadcast against N, D and C.
    """

    E: Numbers
    A: Numbers
    B: Numbers
    alpha: Numbers
    beta: Numbers
    cost: Cost = SIX_ND

    def loss(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        """Predicted loss, in the shape that the arguments broadcast to."""
        return self.E + self.A / n_params**self.alpha + self.B / n_tokens**self.beta

    @property
    def a(self) -> Numbers:
        """Exponent of N_opt ~ C^a: beta / (alpha + gamma beta)."""
        return self.beta / (self.alpha + self.cost.gamma * self.beta)

    @property
    def b(self) -> Numbers:
        """Exponent of D_opt ~ C^b: 1 - gamma a."""
        return 1 - self.cost.gamma * self.a

    @property
    def G(self) -> Numbers:
        """Coefficient of N_opt = G (C/k)^a: (alpha A / (gamma beta B))^(1/(alpha + gamma beta))."""
        gamma = self.cost.gamma
        ratio = self.alpha * self.A / (gamma * self.beta * self.B)
        return ratio ** (1 / (self.alpha + gamma * self.beta))

    def optimal(self, flops: Numbers) -> Allocation:
        """Loss-optimal N and D for each budget.

        Args:    flops: training budgets, FLOPs, > 0, any shape that broadcasts with the parameters.
        Raises:  FitError: an exponent or coefficient that leaves no interior optimum.
        Source:  Hoffmann et al. 2022, eq. 4, with the cost C = k N^gamma D.
        """
        flops = _positive("flops", flops)
        self._require_interior()
        n_params = self.G * (flops / self.cost.k) ** self.a
        n_tokens = self.cost.n_tokens(n_params, flops)
        return Allocation(flops, n_params, n_tokens, self.loss(n_params, n_tokens))

    def optimal_for(self, n_params: Numbers) -> Allocation:
        """The budget for which each model size is the optimal one, and its tokens and loss."""
        n_params = _positive("n_params", n_params)
        self._require_interior()
        return self.optimal(self.cost.k * (n_params / self.G) ** (1 / self.a))

    def iso_loss(self, loss: float, n_params: np.ndarray) -> np.ndarray:
        """Tokens that bring each model size to a loss; NaN where no number of tokens does."""
        gap = np.asarray(loss - self.E - self.A / np.asarray(n_params) ** self.alpha)
        reachable = np.where(gap > 0, gap, np.nan)
        return (self.B / reachable) ** (1 / np.asarray(self.beta))

    def _require_interior(self) -> None:
        for name in ("A", "B", "alpha", "beta"):
            value = np.asarray(getattr(self, name))
            if not np.all(np.isfinite(value) & (value > 0)):
                raise FitError(
                    f"{name}={value.min():.4g} leaves no interior optimum; expected A, B, alpha, "
                    f"beta finite and above 0: look at the fit's status before allocating from it"
                )


def fit_cost(n_params: np.ndarray, n_tokens: np.ndarray, flops: np.ndarray) -> Cost:
    """The cost law C = k N^gamma D of some runs, by least squares on log(C/D) against log N.

    Args:    arrays (runs,), > 0. With a single model size gamma is taken as 1.
    """
    x, y = np.log(n_params), np.log(flops / n_tokens)
    if np.ptp(x) < 1e-9:
        return Cost(k=float(np.exp(np.mean(y - x))), gamma=1.0)
    gamma = float(np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2))
    return Cost(k=float(np.exp(y.mean() - gamma * x.mean())), gamma=gamma)


def _positive(name: str, value: Numbers) -> Numbers:
    array = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(array) & (array > 0)):
        raise FitError(f"{name}={value} must be positive and finite")
    return array if array.ndim else float(array)
