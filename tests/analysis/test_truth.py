import json

import numpy as np
import pytest

from analysis.surface import Cost, FitError, Surface
from analysis.truth import (
    BESIROGLU,
    KAPLAN,
    TRUTHS,
    Coupled,
    exponent,
    fitted_surface,
    optimal_params,
    truth_json,
    truth_of_json,
)

COST = Cost(20.0, 0.9)


@pytest.mark.parametrize("name", TRUTHS)
def test_the_optimum_has_the_least_loss_of_its_budget(name):
    truth = TRUTHS[name]
    best = optimal_params(truth, COST, 1e20)
    sizes = best * np.array([0.8, 1.0, 1.25])
    losses = truth.loss(sizes, COST.n_tokens(sizes, 1e20))
    assert losses[1] < losses[0]
    assert losses[1] < losses[2]


def test_the_exponent_is_the_slope_of_the_optimum():
    for truth in (BESIROGLU, Coupled(BESIROGLU)):
        low, high = (optimal_params(truth, COST, c) for c in (1e18, 1e20))
        assert exponent(truth, COST, 1e18, 1e20) == pytest.approx(np.log(high / low) / np.log(100))
    assert exponent(BESIROGLU, Cost(), 1e18, 1e20) == pytest.approx(0.51390, abs=1e-5)
    assert exponent(KAPLAN, Cost(), 1e18, 1e20) == pytest.approx(KAPLAN.a, abs=1e-3)


def test_a_coupling_of_nothing_is_the_surface_itself():
    n, d = np.geomspace(1e6, 1e9, 4), np.geomspace(1e9, 1e10, 4)
    assert Coupled(BESIROGLU, 0.0).loss(n, d) == pytest.approx(BESIROGLU.loss(n, d))
    assert np.all(Coupled(BESIROGLU).loss(n, d) > BESIROGLU.loss(n, d))


def test_a_fits_file_is_a_surface():
    parametric = {"E": 1.0, "A": 2, "B": 3.0, "alpha": 0.4, "beta": 0.5}
    fits = {"parametric": parametric, "cost": {"k": 30.0, "gamma": 0.9}}
    assert fitted_surface(fits) == Surface(1.0, 2.0, 3.0, 0.4, 0.5, Cost(30.0, 0.9))


@pytest.mark.parametrize(
    "fits", [{}, {"parametric": None}, {"parametric": {"E": None}, "cost": {"k": 6, "gamma": 1}}]
)
def test_fits_without_numbers_are_no_surface(fits):
    with pytest.raises(FitError, match="no parametric surface"):
        fitted_surface(fits)


@pytest.mark.parametrize("truth", [*TRUTHS.values(), Surface(1.0, 2.0, 3.0, 0.4, 0.5, COST)])
def test_a_truth_survives_json(truth):
    assert truth_of_json(json.loads(json.dumps(truth_json(truth)))) == truth


@pytest.mark.parametrize("content", [{}, {"form": "Plane"}, {"form": "Surface", "E": 1.0}])
def test_other_content_is_no_truth(content):
    with pytest.raises(FitError, match="not a stored loss surface"):
        truth_of_json(content)
