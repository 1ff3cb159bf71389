"""Every approach answers the same questions, of the problem that its options pose."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_table import LossTable
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.studies.allocation import allocate
from analysis.studies.approaches.fit_all import KINDS, fit_all, fit_input
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.fit_config import APPROACHES, FitConfig
from analysis.studies.fits_json import fits_json
from analysis.studies.study import run_study

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)
QUICK = FitConfig(n_resamples=100, isoflop_curve="parabola")


@pytest.fixture(scope="module")
def table() -> LossTable:
    """Five budgets of seven sizes on a known surface, with noise, weights and training curves."""
    rng = np.random.default_rng(3)
    budgets = np.geomspace(1e17, 1e21, 5)
    n_params = (
        np.asarray(SURFACE.optimal(budgets).n_params)[:, None] * np.geomspace(0.2, 5, 7)
    ).ravel()
    budget = np.repeat(budgets, 7)
    # Attention makes small models dearer per parameter, so that cost=6nd is another problem.
    n_tokens = budget / (6 * n_params * (1 + (1e7 / n_params) ** 0.3))
    loss = np.asarray(SURFACE.loss(n_params, n_tokens)) * np.exp(0.003 * rng.normal(size=35))
    runs = pd.DataFrame({
        "run_id": [f"r{i}" for i in range(35)], "n_params": n_params, "n_tokens": n_tokens,
        "flops": budget, "flops_budget": budget, "loss": loss, "w": rng.uniform(0.2, 2, 35),
    })  # fmt: skip
    share = np.linspace(0.3, 1, 8)
    curves = pd.concat([
        pd.DataFrame({
            "run_id": row["run_id"], "n_tokens": row["n_tokens"] * share,
            "flops": row["flops"] * share, "loss": row["loss"] * share**-0.05,
        })
        for _, row in runs.iterrows()
    ])  # fmt: skip
    return LossTable(runs, curves)


def test_the_kinds_are_those_that_a_configuration_names():
    assert tuple(KINDS) == APPROACHES


@pytest.mark.parametrize("name", APPROACHES)
def test_every_approach_answers_every_question(table, name):
    data = fit_input(table, "exact", QUICK)
    fit = fit_all(data, QUICK)[name]
    weights = np.random.default_rng(0).multinomial(35, np.full(35, 1 / 35), size=100).astype(float)
    fit = fit.resampled(weights)
    assert fit.usable
    low, high = fit.intervals["a"]
    assert low < fit.a < high
    best, spans = fit.optimal(1e19), fit.optimal_intervals(1e19)
    assert spans.n_params[0] < float(best.n_params) < spans.n_params[1]
    assert fit.flops_for(float(best.n_params)) == pytest.approx(1e19, rel=1e-6)
    again = fit.refit(data)
    assert again.parameters == fit.parameters
    assert fit.refit(data.take(np.arange(28))).parameters != fit.parameters
    assert {"a", "b", "status", "reason", "intervals", "objections"} <= fit.to_json().keys()
    if fit.surface is None:
        with pytest.raises(FitError, match="no loss away from the optimum"):
            fit.loss(1e8, 1e10)
    else:
        value, (low, high) = fit.loss(float(best.n_params), float(best.n_tokens))
        assert low < value < high


OPTIONS = {
    "fixed": {"alpha": 0.2},
    "above": 0.3,
    "delta": 0.1,
    "weights": "w",
    "cost": "6nd",
    "solver": "lbfgs",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_the_fit_reaches_every_number_that_is_said_to_come_from_it(table, option):
    """Point, interval, allocation, hold-out and countings are all of the configured problem."""
    config = replace(QUICK, approaches=["isoflop", "parametric"])
    default, changed = (
        run_study(table, c) for c in (config, replace(config, **{option: OPTIONS[option]}))
    )
    for numbers in (
        lambda study: study.fits["parametric"].a,
        lambda study: study.fits["parametric"].intervals.get("a"),
        lambda study: _parametric(allocate(study, [1e22])).n_opt,
        lambda study: study.countings[0].a["parametric"],
    ):
        assert numbers(default) != numbers(changed)
    held = [_parametric_error(study) for study in (default, changed)]
    # The cost moves the held-out budget's optimum; predicted losses do not depend on it.
    assert held[0] != held[1]


def _parametric(advice):
    return next(row for row in advice if row.approach == "parametric")


def _parametric_error(study):
    row = next(p for p in study.holdout.predictions if p.law == "parametric")
    return row.rms, row.n_opt


@pytest.mark.parametrize("fixed", [{"alpha": 0.2}, {"beta": 0.4}])
@pytest.mark.parametrize("interval", ["profile", "bootstrap"])
def test_an_interval_is_of_the_same_problem_as_its_point(table, fixed, interval):
    config = replace(QUICK, approaches=["parametric"], fixed=fixed, interval=interval)
    study = run_study(table, config)
    fit = study.find(ParametricApproach)
    assert fit is not None
    low, high = fit.intervals["a"]
    assert low < fit.a < high
    for profile in fit.profiles.values():
        assert profile.interval[0] <= fit.parameters[profile.name] <= profile.interval[1]


def test_exponents_that_are_fixed_have_no_profile(table):
    study = run_study(table, replace(QUICK, fixed={"alpha": 0.34, "beta": 0.28}, n_resamples=0))
    fit = study.find(ParametricApproach)
    assert fit is not None
    assert fit.profiles.keys() == {"E", "A", "B"}


def test_fits_json_names_the_preferred_approach(table):
    study = run_study(table, replace(QUICK, n_resamples=0))
    numbers = fits_json(study, [])
    assert numbers["preferred_approach"] == "isoflop"
    assert numbers["isoflop"]["objections"] == []


def test_an_exponent_outside_0_and_1_is_no_headline(table):
    """Losses that rise with N at every budget: the smallest model is always best."""
    runs = table.runs.assign(loss=3 * (table.runs.n_params / 1e9) ** 0.05)
    study = run_study(LossTable(runs, table.curves.iloc[:0]), replace(QUICK, n_resamples=0))
    assert study.preferred is None
