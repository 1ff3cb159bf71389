"""What a fit predicts at a budget: the optimum, an alternative of equal cost, and their losses.

The alternative is the allocation of Kaplan et al. 2020 and of Gopher: more parameters, so
much fewer tokens, for the same compute (Hoffmann et al. 2022, section 4).
"""

from dataclasses import dataclass

from analysis.data.cost_law import Cost
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.stored_fits import StoredFit, StoredFits
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
    """Ways to spend one budget, the first of which a fit calls the best.

    `more` are alternatives beside the first one, `fitted` the least and largest FLOPs of the fitted
    runs; `forced` tells that the fit had not converged and was used all the same.
    """

    approach: str
    status: str
    counting: str
    flops: float
    fitted: tuple[float, float]
    optimum: Choice
    alternative: Choice
    forced: bool = False
    more: tuple[Choice, ...] = ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The optimum and all its alternatives."""
        return (self.optimum, self.alternative, *self.more)

    @property
    def interpolates(self) -> bool:
        """Whether the budget lies within what was fitted, so that the test is an easy one."""
        return self.flops <= self.fitted[1] * 1.05


def predict(fits: StoredFits, asked: ValidateSpec, force: bool = False) -> Prediction:
    """The optimum at a budget and its alternative.

    N_opt = k C^a for approaches 1 and 2, G (C/k)^a for approach 3; tokens follow from the runs' own
    cost law C = k N^gamma D.
    Raises:  PredictionError: fits of an older release, no such approach, or one that did not
             converge (unless `force`).
    """
    approach = asked.approach or _preferred(fits)
    fit = getattr(fits, approach)
    if fit is None or fits.cost is None:
        raise PredictionError(f"validate.approach={approach} was not fitted; expected another one")
    _require_converged(approach, fit, force)
    fitted = _fitted_range(fits)
    flops = asked.budget or float(f"{asked.budget_factor * fitted[1]:.2g}")
    cost = Cost(fits.cost.k, fits.cost.gamma)
    surface = _surface(fits)
    n_opt = _n_opt(approach, fit, surface, flops)

    def choice(name: str, n_params: float) -> Choice:
        n_tokens = float(cost.n_tokens(n_params, flops))
        loss = None if surface is None else float(surface.loss(n_params, n_tokens))
        return Choice(name, n_params, n_tokens, loss)

    several = len(asked.params_factors) > 1
    first, *more = [
        choice(f"alternative-x{factor:g}" if several else "alternative", factor * n_opt)
        for factor in asked.params_factors
    ]
    return Prediction(
        approach=approach,
        status=fit.status,
        counting=fits.counting,
        flops=flops,
        fitted=fitted,
        optimum=choice("optimum", n_opt),
        alternative=first,
        forced=fit.status != "converged",
        more=tuple(more),
    )


def _preferred(fits: StoredFits) -> str:
    if fits.preferred_approach == "":
        raise PredictionError(
            "fits.json is of an older release (no preferred_approach in it); run isoflop analyze "
            "again"
        )
    if fits.preferred_approach is None:
        raise PredictionError(
            "the fit's report prefers no approach: none reached a trustworthy fit; name one, "
            f"validate.approach={' | '.join(APPROACHES)}, with force=true if it is degenerate"
        )
    return fits.preferred_approach


def _require_converged(approach: str, fit: StoredFit, force: bool) -> None:
    if force:
        return
    fix = "add runs, choose another validate.approach, or pass force=true"
    if fit.status != "converged":
        raise PredictionError(
            f"the {approach} fit is {fit.status}{fit.why}, and a prediction from it means "
            f"nothing; {fix}"
        )
    if fit.objections:
        raise PredictionError(
            f"the {approach} fit does not determine an optimum: {'; '.join(fit.objections)}; {fix}"
        )


def _fitted_range(fits: StoredFits) -> tuple[float, float]:
    if fits.fitted is None:
        raise PredictionError(
            "fits.json is of an older release (no range of FLOPs); run isoflop analyze again"
        )
    low, high = fits.fitted.flops
    return low, high


def _n_opt(approach: str, fit: StoredFit, surface: Surface | None, flops: float) -> float:
    if approach == "parametric":
        if surface is None:
            raise PredictionError("the parametric fit has no numbers; choose another approach")
        return float(surface.optimal(flops).n_params)
    if fit.a is None or fit.n_coefficient is None:
        raise PredictionError(
            f"the {approach} fit has no power law to extend: {fit.reason or fit.status}"
        )
    return fit.n_coefficient * flops**fit.a


def _surface(fits: StoredFits) -> Surface | None:
    try:
        return fits.surface
    except FitError:
        return None
