import numpy as np
import pytest

from analysis.data.cost_law import Cost, fit_cost
from analysis.errors import FitError
from analysis.fits.surface import Surface

SURFACE = Surface(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)


def test_optimum_is_the_minimum_along_its_budget():
    for cost in (Cost(), Cost(k=40.0, gamma=0.85)):
        surface = Surface(1.69, 406.4, 410.7, 0.34, 0.28, cost)
        best = surface.optimal(1e21)
        sizes = best.n_params * np.geomspace(0.5, 2, 401)
        losses = surface.loss(sizes, cost.n_tokens(sizes, 1e21))
        assert losses.argmin() == 200
        assert best.loss == pytest.approx(losses.min(), rel=1e-12)
        assert cost.flops(best.n_params, best.n_tokens) == pytest.approx(1e21)


def test_exponents_are_the_slopes_of_the_optimum():
    surface = Surface(1.69, 406.4, 410.7, 0.34, 0.28, Cost(k=40.0, gamma=0.85))
    near, far = surface.optimal(1e20), surface.optimal(1e22)
    assert np.log(far.n_params / near.n_params) / np.log(100) == pytest.approx(surface.a)
    assert np.log(far.n_tokens / near.n_tokens) / np.log(100) == pytest.approx(surface.b)


def test_hoffmann_exponents():
    assert SURFACE.a == pytest.approx(0.28 / 0.62)
    assert SURFACE.a + SURFACE.b == pytest.approx(1)


def test_arrays_of_surfaces_broadcast():
    draws = Surface(*(np.full(3, v) for v in (1.69, 406.4, 410.7, 0.34, 0.28)))
    assert draws.optimal(1e21).n_params == pytest.approx([SURFACE.optimal(1e21).n_params] * 3)


@pytest.mark.parametrize("flops", [0.0, -1.0, np.nan, np.inf])
def test_budget_must_be_positive(flops):
    with pytest.raises(FitError, match="positive"):
        SURFACE.optimal(flops)


def test_a_surface_without_interior_optimum_does_not_allocate():
    with pytest.raises(FitError, match="no interior optimum"):
        Surface(1.7, 0.0, 400.0, 0.3, 0.3).optimal(1e20)


def test_cost_law_is_recovered():
    n_params, n_tokens = np.geomspace(1e4, 1e8, 20), np.geomspace(1e6, 1e9, 20)
    cost = fit_cost(n_params, n_tokens, 31.0 * n_params**0.9 * n_tokens)
    assert (cost.k, cost.gamma) == pytest.approx((31.0, 0.9))


def test_cost_of_a_single_size_keeps_gamma_at_one():
    cost = fit_cost(np.full(3, 100.0), np.array([1.0, 2.0, 3.0]), np.array([700.0, 1400.0, 2100.0]))
    assert (cost.k, cost.gamma) == pytest.approx((7.0, 1.0))
