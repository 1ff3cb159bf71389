"""Loss surfaces to simulate runs on, by name, and where their optima lie.

`hoffmann` and `besiroglu` are of the form that approach 3 fits. `coupled` and `kaplan` are not:
they show what the approaches make of runs that obey another law.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize_scalar

from analysis.data.cost_law import SIX_ND, Cost, fit_cost
from analysis.errors import FitError, Numbers
from analysis.fits.kaplan import KaplanJoint
from analysis.fits.parametric.lbfgs import HOFFMANN
from analysis.fits.surface import Surface

SEED_NOISE = 0.0065
"""Standard deviation of log L between six seeds of model=d16 at 1e11 FLOPs on stdlib text."""

COST_DEGREE = 3
"""Degree of the polynomial by which a cost curve leaves its power law."""

BESIROGLU = Surface(E=1.81722, A=477.83, B=2143.42, alpha=0.34731, beta=0.36717)
"""The corrected fit to the runs of Hoffmann et al. 2022 (Besiroglu et al. 2024)."""


class Truth(Protocol):
    """A loss as a function of N and D."""

    def loss(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        """The loss without noise, in the shape that the arguments broadcast to."""
        ...


@dataclass(frozen=True)
class Coupled:
    """L = E + A/N^alpha + B/D^beta + strength sqrt(A/N^alpha B/D^beta).

    A misfit form: the last term ties N to D, its optima follow a power law only nearly, and no
    choice of the five parameters describes it.
    """

    surface: Surface
    strength: float = 0.5

    def loss(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        s = self.surface
        cross = (s.A / n_params**s.alpha * s.B / n_tokens**s.beta) ** 0.5
        return s.loss(n_params, n_tokens) + self.strength * cross


KAPLAN = KaplanJoint(6.4e13, 1.8e13, 0.076, 0.103, SIX_ND, rms=0.0, status="converged")
"""The joint law of Kaplan et al. 2020, table 2; it has no irreducible loss."""

FORMS: Mapping[str, Any] = {form.__name__: form for form in (Surface, Coupled, KaplanJoint)}

TRUTHS: Mapping[str, Truth] = {
    "hoffmann": HOFFMANN,
    "besiroglu": BESIROGLU,
    "coupled": Coupled(BESIROGLU),
    "kaplan": KAPLAN,
}


def truth_json(truth: Truth) -> dict[str, Any]:
    """A truth as JSON values; `truth_of_json` is the inverse."""
    if not isinstance(truth, Surface | Coupled | KaplanJoint):
        raise FitError(
            f"a {type(truth).__name__} can't be stored; expected one of {', '.join(FORMS)}"
        )
    return {"form": type(truth).__name__, **asdict(truth)}


def truth_of_json(content: Mapping[str, Any]) -> Truth:
    """The truth that `truth_json` wrote.

    Raises:  FitError: another form, or other fields.
    """
    values = {name: value for name, value in content.items() if name != "form"}
    try:
        if content["form"] == "Coupled":
            values["surface"] = truth_of_json({"form": "Surface", **values["surface"]})
        else:
            values["cost"] = Cost(**values["cost"])
        return FORMS[content["form"]](**values)
    except (KeyError, TypeError) as error:
        raise FitError(f"{content!r:.80} is not a stored loss surface ({error})") from error


def cost_curve(n_params: np.ndarray, flops_per_token: np.ndarray) -> Callable[[Numbers], Numbers]:
    """FLOPs a token as a smooth function of N through some models, (models,) each.

    It is the fitted power law k N^gamma times a cubic in log N of what the models deviate from it,
    carried on unchanged beyond the smallest and the largest. Shapes come in steps, and the optima
    of a curve through every model would jump with them; so a true exponent is known to about
    0.005 at the demo's sizes, which is how far it moves between a parabola, a cubic and a quartic.
    """
    law = fit_cost(n_params, np.ones(len(n_params)), flops_per_token)
    sizes, first = np.unique(n_params, return_index=True)
    x = np.log(sizes)
    off = np.log(flops_per_token[first] / law.flops(sizes, 1.0))
    centre, degree = float(x.mean()), min(COST_DEGREE, len(x) - 1)
    coefficients = np.polyfit(x - centre, off, degree)

    def per_token(n: Numbers) -> Numbers:
        within = np.clip(np.log(n), x[0], x[-1]) - centre
        return law.flops(n, 1.0) * np.exp(np.polyval(coefficients, within))

    return per_token


def optimal_params(
    truth: Truth, per_token: Callable[[Numbers], Numbers], flops: np.ndarray
) -> np.ndarray:
    """N of least loss at each budget, (budgets,), searched between 1 and 1e16 parameters."""

    def loss(log_n: float, budget: float) -> float:
        n_params = float(np.exp(log_n))
        return float(truth.loss(n_params, budget / per_token(n_params)))

    grid = np.linspace(0.0, np.log(1e16), 500)
    found = []
    for budget in np.asarray(flops, dtype=float):
        nearest = grid[np.argmin(truth.loss(np.exp(grid), budget / per_token(np.exp(grid))))]
        bounds = (nearest - grid[1], nearest + grid[1])
        end: Any = minimize_scalar(
            loss, bounds=bounds, args=(budget,), method="bounded", options={"xatol": 1e-9}
        )
        found.append(float(np.exp(end.x)))
    return np.array(found)


def true_exponents(
    truth: Truth, per_token: Callable[[Numbers], Numbers], flops: np.ndarray
) -> tuple[float, float]:
    """(a, b) of N_opt ~ C^a and D_opt ~ C^b through the true optima of two budgets or more.

    Where cost is a power law and the truth a Surface this is beta / (alpha + gamma beta) exactly;
    elsewhere the mean slope over these budgets.
    """
    n_opt = optimal_params(truth, per_token, flops)
    d_opt = flops / np.asarray(per_token(n_opt))
    slopes = [float(np.polyfit(np.log(flops), np.log(y), 1)[0]) for y in (n_opt, d_opt)]
    return slopes[0], slopes[1]
