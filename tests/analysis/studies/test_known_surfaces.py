import json
from dataclasses import replace

import numpy as np
import pytest

from analysis.data.cost_law import Cost
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.studies.known_surfaces import (
    BESIROGLU,
    KAPLAN,
    TRUTHS,
    Coupled,
    cost_curve,
    optimal_params,
    true_exponents,
    truth_json,
    truth_of_json,
)

COST = Cost(20.0, 0.9)


SIZES = np.geomspace(1e5, 1e11, 30)
LAW = cost_curve(SIZES, COST.k * SIZES**COST.gamma)
BUDGETS = np.geomspace(1e18, 1e20, 4)


@pytest.mark.parametrize("name", TRUTHS)
def test_the_optimum_has_the_least_loss_of_its_budget(name):
    truth = TRUTHS[name]
    best = optimal_params(truth, LAW, np.array([1e20]))
    sizes = best * np.array([0.8, 1.0, 1.25])
    losses = truth.loss(sizes, COST.n_tokens(sizes, 1e20))
    assert losses[1] < losses[0]
    assert losses[1] < losses[2]


def test_exponents_under_a_power_law_of_cost_are_the_closed_form():
    surface = replace(BESIROGLU, cost=COST)
    assert optimal_params(BESIROGLU, LAW, BUDGETS) == pytest.approx(
        surface.optimal(BUDGETS).n_params, rel=1e-6
    )
    assert true_exponents(BESIROGLU, LAW, BUDGETS) == pytest.approx((surface.a, surface.b))
    kaplan = replace(KAPLAN, cost=COST)
    assert true_exponents(KAPLAN, LAW, BUDGETS) == pytest.approx((kaplan.a, kaplan.b))


def test_exponents_follow_the_models_own_cost():
    sizes = np.geomspace(2e5, 2e8, 20)
    attention = 6 * sizes + 3e3 * sizes**0.5
    own, plain = cost_curve(sizes, attention), cost_curve(sizes, 6 * sizes)
    assert own(sizes) == pytest.approx(attention, rel=0.005)
    assert true_exponents(BESIROGLU, plain, BUDGETS)[0] == pytest.approx(BESIROGLU.a)
    low, grid = np.geomspace(1e14, 1e16, 4), np.geomspace(1e5, 1e9, 200_001)
    cost = 6 * grid + 3e3 * grid**0.5
    best = [grid[np.argmin(BESIROGLU.loss(grid, budget / cost))] for budget in low]
    assert optimal_params(BESIROGLU, own, low) == pytest.approx(np.array(best), rel=0.03)
    slope = np.log(best[-1] / best[0]) / np.log(100)
    assert true_exponents(BESIROGLU, own, low)[0] == pytest.approx(slope, abs=3e-3)


def test_cost_beyond_the_models_goes_on_as_the_law():
    per_token = cost_curve(SIZES[5:], 6 * SIZES[5:])
    assert per_token(SIZES) == pytest.approx(6 * SIZES)
    assert cost_curve(np.array([1e6]), np.array([7e6]))(2e6) == pytest.approx(14e6)


def test_a_coupling_of_nothing_is_the_surface_itself():
    n, d = np.geomspace(1e6, 1e9, 4), np.geomspace(1e9, 1e10, 4)
    assert Coupled(BESIROGLU, 0.0).loss(n, d) == pytest.approx(BESIROGLU.loss(n, d))
    assert np.all(Coupled(BESIROGLU).loss(n, d) > BESIROGLU.loss(n, d))


@pytest.mark.parametrize("truth", [*TRUTHS.values(), Surface(1.0, 2.0, 3.0, 0.4, 0.5, COST)])
def test_a_truth_survives_json(truth):
    assert truth_of_json(json.loads(json.dumps(truth_json(truth)))) == truth


@pytest.mark.parametrize("content", [{}, {"form": "Plane"}, {"form": "Surface", "E": 1.0}])
def test_other_content_is_no_truth(content):
    with pytest.raises(FitError, match="not a stored loss surface"):
        truth_of_json(content)
