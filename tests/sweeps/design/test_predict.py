"""Predictions from the content of fits.json: closed forms, and refusals."""

import pytest

from analysis.data.cost_law import Cost
from analysis.fits.surface import Surface
from analysis.stored_fits import fits_of_json
from sweeps.design.predict import Prediction, PredictionError
from sweeps.design.predict import predict as predict_by
from sweeps.spec.design import ValidateSpec
from train.config.spec import SpecError

SURFACE = Surface(E=1.2, A=400.0, B=30.0, alpha=0.6, beta=0.3, cost=Cost(k=40.0, gamma=0.85))


def predict(content: dict, asked: ValidateSpec, force: bool = False) -> Prediction:
    return predict_by(fits_of_json(content), asked, force)


def fits(**changes):
    law = {"a": 0.4, "b": 0.66, "n_coefficient": 2.0, "status": "converged", "reason": ""}
    names = ("E", "A", "B", "alpha", "beta", "a", "b")
    return {
        "counting": "exact",
        "cost": {"k": 40.0, "gamma": 0.85},
        "sources": ["results/demo"],
        "fitted": {"flops": [1e10, 1e12]},
        "preferred_approach": "isoflop",
        "isoflop": law,
        "envelope": {"status": "degenerate", "reason": "two points", "intervals": {}},
        "parametric": {
            **{name: getattr(SURFACE, name) for name in names},
            "status": "converged",
            "reason": "",
        },
        **changes,
    }


def test_the_decisions_approach_is_extended_to_the_budget():
    made = predict(fits(), ValidateSpec())
    assert (made.approach, made.flops) == ("isoflop", 4e12)
    assert made.optimum.n_params == pytest.approx(2 * 4e12**0.4, rel=1e-12)
    assert made.alternative.n_params == pytest.approx(4 * made.optimum.n_params, rel=1e-12)
    assert not made.interpolates


def test_a_list_of_factors_makes_as_many_alternatives():
    made = predict(fits(), ValidateSpec(params_factor=[0.25, 4]))
    assert [c.name for c in made.choices] == ["optimum", "alternative-x0.25", "alternative-x4"]
    sizes = [choice.n_params / made.optimum.n_params for choice in made.choices]
    assert sizes == pytest.approx([1, 0.25, 4])
    for bad in ([], [4, 1], [4, 4], ["x"], -1):
        with pytest.raises(SpecError, match=r"validate\.params_factor"):
            ValidateSpec(params_factor=bad)


def test_both_allocations_cost_the_budget_under_the_runs_own_cost_law():
    made = predict(fits(), ValidateSpec(budget=3e13))
    for choice in (made.optimum, made.alternative):
        assert SURFACE.cost.flops(choice.n_params, choice.n_tokens) == pytest.approx(3e13)
        assert choice.loss == pytest.approx(SURFACE.loss(choice.n_params, choice.n_tokens))


def test_the_parametric_optimum_is_no_worse_than_its_neighbours():
    made = predict(fits(), ValidateSpec(approach="parametric"))
    best = SURFACE.optimal(4e12)
    assert made.optimum.n_params == pytest.approx(best.n_params)
    for factor in (0.9, 1.1):
        n_params = factor * made.optimum.n_params
        tokens = SURFACE.cost.n_tokens(n_params, 4e12)
        assert SURFACE.loss(n_params, tokens) > made.optimum.loss


def test_a_budget_inside_the_fitted_range_is_called_interpolation():
    assert predict(fits(), ValidateSpec(budget=5e11)).interpolates
    assert predict(fits(), ValidateSpec(budget_factor=1)).interpolates
    assert not predict(fits(), ValidateSpec(budget_factor=2)).interpolates


@pytest.mark.parametrize("status", ["degenerate", "bound_hit", "max_iterations"])
def test_a_fit_that_did_not_converge_refuses_unless_forced(status):
    bad = fits()
    bad["isoflop"] = {**bad["isoflop"], "status": status, "reason": "two budgets alone"}
    with pytest.raises(PredictionError, match=rf"{status} \(two budgets alone\).*force=true"):
        predict(bad, ValidateSpec())
    made = predict(bad, ValidateSpec(), force=True)
    assert made.forced
    assert made.optimum.n_params > 0


def test_force_can_not_invent_a_law_that_is_not_there():
    with pytest.raises(PredictionError, match="no power law to extend: two points"):
        predict(fits(), ValidateSpec(approach="envelope"), force=True)


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("preferred_approach", "older release"),
        ("fitted", "older release"),
        ("isoflop", "was not fitted"),
    ],
)
def test_what_an_older_or_partial_fits_json_lacks_is_said(missing, reason):
    content = fits()
    del content[missing]
    with pytest.raises(PredictionError, match=reason):
        predict(content, ValidateSpec())


def test_no_preferred_approach_asks_for_an_approach():
    with pytest.raises(PredictionError, match=r"prefers no approach.*validate\.approach"):
        predict(fits(preferred_approach=None), ValidateSpec())
    assert (
        predict(fits(preferred_approach=None), ValidateSpec(approach="isoflop")).approach
        == "isoflop"
    )


@pytest.mark.parametrize(
    "values", [{"params_factor": 1}, {"budget": -1.0}, {"approach": "kaplan"}, {"budget_factor": 0}]
)
def test_meaningless_settings_are_refused(values):
    with pytest.raises(SpecError, match=r"validate\."):
        ValidateSpec(**values)


def test_a_directory_of_release_0_1_says_decision():
    old = fits()
    old["decision"] = old.pop("preferred_approach")
    assert predict(old, ValidateSpec()).approach == "isoflop"


def test_a_fit_with_an_objection_is_refused_without_force():
    bad = fits()
    bad["isoflop"]["objections"] = ["its exponent of N_opt, 1.3, lies outside (0, 1)"]
    with pytest.raises(PredictionError, match=r"does not determine an optimum: its .*force"):
        predict(bad, ValidateSpec())
    assert predict(bad, ValidateSpec(), force=True).optimum.n_params > 0
