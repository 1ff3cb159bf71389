"""What a fit predicts at a budget: the optimum, an alternative of equal cost, and their losses.

The alternative is the allocation of Kaplan et al. 2020 and of Gopher: more parameters, so
much fewer tokens, for the same compute (Hoffmann et al. 2022, section 4).
"""

from dataclasses import dataclass
from typing import Any

from analysis.data.cost_law import Cost
from analysis.fits.surface import Surface
from sweeps.spec.design import APPROACHES, ValidateSpec
from train.config.spec import IsoflopError


class PredictionError(IsoflopError):
    """A fit that can't be asked for an optimum."""


@dataclass(frozen=True)
class Choice:
    """One way to spend the budget, and the loss that the parametric fit predicts (None: none)."""

    name: str
    n_params: float
    n_tokens: float
    loss: float | None


@dataclass(frozen=True)
class Prediction:
    """Two ways to spend one budget, the first of which a fit calls the best.

    `fitted` are the least and largest FLOPs of the fitted runs; `forced` tells that the fit had
    not converged and was used all the same.
    """

    approach: str
    status: str
    counting: str
    flops: float
    fitted: tuple[float, float]
    optimum: Choice
    alternative: Choice
    forced: bool = False

    @property
    def interpolates(self) -> bool:
        """Whether the budget lies within what was fitted, so that the test is an easy one."""
        return self.flops <= self.fitted[1] * 1.05


def predict(fits: dict[str, Any], asked: ValidateSpec, force: bool = False) -> Prediction:
    """The optimum at a budget and its alternative, from the content of fits.json.

    N_opt = k C^a for approaches 1 and 2, G (C/k)^a for approach 3; tokens follow from the runs' own
    cost law C = k N^gamma D.
    Raises:  PredictionError: fits of an older release, no such approach, or one that did not
             converge (unless `force`).
    """
    approach = asked.approach or _preferred(fits)
    fit = fits.get(approach)
    if fit is None:
        raise PredictionError(f"validate.approach={approach} was not fitted; expected another one")
    _require_converged(approach, fit, force)
    fitted = _fitted_range(fits)
    flops = asked.budget or float(f"{asked.budget_factor * fitted[1]:.2g}")
    cost = Cost(fits["cost"]["k"], fits["cost"]["gamma"])
    n_opt = _n_opt(approach, fit, cost, flops)
    surface = _surface(fits.get("parametric"), cost)

    def choice(name: str, n_params: float) -> Choice:
        n_tokens = float(cost.n_tokens(n_params, flops))
        loss = None if surface is None else float(surface.loss(n_params, n_tokens))
        return Choice(name, n_params, n_tokens, loss)

    return Prediction(
        approach=approach,
        status=fit["status"],
        counting=fits["counting"],
        flops=flops,
        fitted=fitted,
        optimum=choice("optimum", n_opt),
        alternative=choice("alternative", asked.params_factor * n_opt),
        forced=fit["status"] != "converged",
    )


def _preferred(fits: dict[str, Any]) -> str:
    # Called `decision` until release 0.2.
    if not {"preferred_approach", "decision"} & fits.keys():
        raise PredictionError(
            "fits.json is of an older release (no preferred_approach in it); run isoflop analyze "
            "again"
        )
    preferred = fits.get("preferred_approach", fits.get("decision"))
    if preferred is None:
        raise PredictionError(
            "the fit's report prefers no approach: none reached a trustworthy fit; name one, "
            f"validate.approach={' | '.join(APPROACHES)}, with force=true if it is degenerate"
        )
    return preferred


def _require_converged(approach: str, fit: dict[str, Any], force: bool) -> None:
    if force:
        return
    fix = "add runs, choose another validate.approach, or pass force=true"
    if fit["status"] != "converged":
        reason = f" ({fit['reason']})" if fit.get("reason") else ""
        raise PredictionError(
            f"the {approach} fit is {fit['status']}{reason}, and a prediction from it means "
            f"nothing; {fix}"
        )
    if fit.get("objections"):
        raise PredictionError(
            f"the {approach} fit does not determine an optimum: {'; '.join(fit['objections'])}; "
            f"{fix}"
        )


def _fitted_range(fits: dict[str, Any]) -> tuple[float, float]:
    span = fits.get("fitted", {}).get("flops")
    if span is None:
        raise PredictionError(
            "fits.json is of an older release (no range of FLOPs); run isoflop analyze again"
        )
    return float(span[0]), float(span[1])


def _n_opt(approach: str, fit: dict[str, Any], cost: Cost, flops: float) -> float:
    if approach == "parametric":
        surface = _surface(fit, cost)
        if surface is None:
            raise PredictionError("the parametric fit has no numbers; choose another approach")
        return float(surface.optimal(flops).n_params)
    a, coefficient = fit.get("a"), fit.get("n_coefficient")
    if a is None or coefficient is None:
        raise PredictionError(
            f"the {approach} fit has no power law to extend: {fit.get('reason') or fit['status']}"
        )
    return float(coefficient * flops**a)


def _surface(fit: dict[str, Any] | None, cost: Cost) -> Surface | None:
    """The parametric surface of fits.json; None where one of its numbers is missing."""
    values = [(fit or {}).get(name) for name in ("E", "A", "B", "alpha", "beta")]
    if any(value is None for value in values):
        return None
    return Surface(*values, cost=cost)  # type: ignore[arg-type]
