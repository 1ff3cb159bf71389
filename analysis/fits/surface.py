"""The loss surface L(N, D) = E + A/N^alpha + B/D^beta and what it says about spending a budget.

A budget buys C = k N^gamma D FLOPs. The rule of thumb is k = 6 and gamma = 1; counting attention
FLOPs makes small models dearer a parameter, gamma < 1, and the optimum stays in closed form.
"""

from dataclasses import dataclass

import numpy as np

from analysis.data.cost_law import SIX_ND, Cost
from analysis.errors import FitError, Numbers

PARAMETERS = ("E", "A", "B", "alpha", "beta")


@dataclass(frozen=True)
class Allocation:
    """How budgets are best spent.

    Attributes:
        flops: Training budgets in FLOPs, of any shape; the others have the same one.
        n_params: Compute-optimal parameters, counted as the fit counted them.
        n_tokens: Compute-optimal training tokens.
        loss: Loss there, in the unit of the fitted losses; NaN where it is not known.

    Examples:
        >>> from isoflop import Surface
        >>> best = Surface(E=1.8, A=480.0, B=480.0, alpha=0.35, beta=0.35).optimal([6e18, 6e20])
        >>> [f"{n:.0e}" for n in best.n_params]
        ['1e+09', '1e+10']
    """

    flops: Numbers
    n_params: Numbers
    n_tokens: Numbers
    loss: Numbers


@dataclass(frozen=True)
class Surface:
    """L(N, D) = E + A/N^alpha + B/D^beta, the parametric form of Hoffmann et al. 2022, eq. 2.

    Attributes:
        E: Irreducible loss, in the unit of the losses. Like all of them a float, or an array (the
            draws of a bootstrap) that broadcasts against N, D and C.
        A: Coefficient of the term in N.
        B: Coefficient of the term in D.
        alpha: Exponent of N.
        beta: Exponent of D.
        cost: FLOPs of a run, C = k N^gamma D; 6 N D unless given.

    Examples:
        >>> from isoflop import Surface
        >>> law = Surface(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
        >>> round(law.loss(7e10, 1.4e12), 3), round(law.a, 3)
        (1.944, 0.514)
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

    def _require_interior(self) -> None:
        for name in ("A", "B", "alpha", "beta"):
            value = np.asarray(getattr(self, name))
            if not np.all(np.isfinite(value) & (value > 0)):
                raise FitError(
                    f"{name}={value.min():.4g} leaves no interior optimum; expected A, B, alpha, "
                    f"beta finite and above 0: look at the fit's status before allocating from it"
                )


def _positive(name: str, value: Numbers) -> Numbers:
    array = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(array) & (array > 0)):
        raise FitError(f"{name}={value} must be positive and finite")
    return array if array.ndim else float(array)
