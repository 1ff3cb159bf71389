import numpy as np
import pytest

from analysis.data.counting import count
from analysis.data.run_arrays import FitInput
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.studies.approaches.fit_all import fit_all
from analysis.studies.fit_config import FitConfig
from analysis.studies.holdout import leave_largest_out

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


def runs(budgets=(1e17, 1e18, 1e19, 1e20), known=True):
    best = SURFACE.optimal(np.array(budgets)).n_params
    n_params = (best[:, None] * np.geomspace(0.2, 5, 7)).ravel()
    budget = np.repeat(budgets, 7)
    n_tokens = budget / (6 * n_params)
    columns = {
        "n_params": n_params,
        "n_tokens": n_tokens,
        "flops": budget,
        "loss": np.asarray(SURFACE.loss(n_params, n_tokens)),
        "budget": budget if known else np.full(len(budget), np.nan),
    }
    return FitInput(count(columns, "exact"))


def held_out(data, **settings):
    config = FitConfig(isoflop_curve="parabola", **settings)
    return leave_largest_out(data, fit_all(data, config))


def test_the_true_form_predicts_and_power_laws_without_E_do_not():
    held = held_out(runs())
    errors = {p.law: p for p in held.predictions}
    assert (held.flops, held.n_held, held.n_fitted) == (pytest.approx(1e20), 7, 21)
    assert errors["parametric"].rms < 1e-6
    assert errors["parametric"].n_opt == pytest.approx(1, abs=0.05)
    assert errors["kaplan"].rms > 0.01
    assert errors["isoflop"].n_opt == pytest.approx(1, abs=0.1)
    assert abs(errors["L(C) power law"].best) > 0.01


def test_without_budgets_the_largest_tenth_is_held_out():
    held = held_out(runs(known=False))
    assert (held.n_held, held.of_budget) == (3, False)
    assert held_out(runs()).of_budget


def test_laws_that_cannot_be_fitted_say_why():
    held = held_out(runs(budgets=(1e17, 1e18)))
    errors = {p.law: p for p in held.predictions}
    assert "one compute budget" in errors["parametric"].reason
    assert errors["parametric"].rms is None


def test_one_budget_leaves_nothing():
    with pytest.raises(FitError, match="nothing to fit"):
        held_out(runs(budgets=(1e17,)).take(np.arange(3)))


def test_only_what_was_fitted_is_held_out():
    held = held_out(runs(), approaches=["isoflop"])
    assert [p.law for p in held.predictions] == ["isoflop"]
    assert held.rms is None
    # Three minima give a pure power law, which keeps falling where the surface flattens.
    assert abs(held.predictions[0].best) < 0.1


def test_the_hold_out_takes_the_options_of_the_fit():
    free, fixed = (held_out(runs(), fixed=values).rms for values in ({}, {"alpha": 0.2}))
    assert free < 1e-6
    assert fixed > 1e-4
