"""The cheapest model to train and to serve, against brute force and the paper's own example."""

import numpy as np
import pytest

from analysis.data.cost_law import Cost
from analysis.fits.serving import cheapest_to_serve, size_price, tokens_of_loss
from analysis.fits.surface import Surface

SARDANA = Surface(1.69, 406.4, 410.7, 0.336, 0.283)
"""The surface of Hoffmann et al. 2022 as Sardana et al. 2024 take it."""


def budget_of_size(surface: Surface, n_params: float) -> float:
    return float(surface.cost.k * (n_params / surface.G) ** (1 / surface.a))


def test_the_papers_example_of_13b_quality_and_two_trillion_served_tokens():
    """'17 %, 1.7e22 FLOPs less by training a 7B model on more data.'"""
    usual = SARDANA.optimal(budget_of_size(SARDANA, 13e9))
    best = cheapest_to_serve(SARDANA, usual.loss, 2e12)
    total = usual.flops + 2 * 13e9 * 2e12
    assert best.n_params == pytest.approx(7e9, rel=0.01)
    assert total - best.total_flops == pytest.approx(1.7e22, rel=0.01)
    assert 1 - best.total_flops / total == pytest.approx(0.17, abs=0.005)


@pytest.mark.parametrize("cost", [Cost(), Cost(20.0, 0.93)])
@pytest.mark.parametrize("served", [0.0, 1e11, 5e12])
def test_no_other_size_of_that_loss_is_cheaper(cost, served):
    surface = Surface(1.7, 120.0, 9000.0, 0.28, 0.45, cost)
    loss = float(surface.optimal(1e21).loss)
    best = cheapest_to_serve(surface, loss, served)
    sizes = best.n_params * np.geomspace(0.5, 2, 2001)
    totals = cost.flops(sizes, tokens_of_loss(surface, loss, sizes) + served / 3)
    assert best.total_flops <= totals.min() * (1 + 1e-9)
    assert sizes[totals.argmin()] == pytest.approx(best.n_params, rel=1e-2)
    assert surface.loss(best.n_params, best.n_tokens) == pytest.approx(loss, rel=1e-12)
    if not served:
        assert best.total_flops == pytest.approx(1e21, rel=1e-9)


def test_prices_are_those_of_the_surface_at_any_loss_and_agree_with_plans():
    surface = Surface(1.7, 120.0, 9000.0, 0.28, 0.45, Cost(20.0, 0.93))
    for flops in (1e19, 1e22):
        usual = surface.optimal(flops)
        for factor in (0.4, 0.7, 3.0):
            price = size_price(surface, factor)
            tokens = float(tokens_of_loss(surface, usual.loss, factor * usual.n_params))
            assert tokens / usual.n_tokens == pytest.approx(float(price.tokens), rel=1e-9)
            cost = surface.cost.flops(factor * usual.n_params, tokens)
            assert cost / flops == pytest.approx(float(price.compute), rel=1e-9)
            if factor < 1:
                served = float(price.pays_from) * usual.n_tokens
                plan = cheapest_to_serve(surface, usual.loss, served)
                assert plan.n_params == pytest.approx(factor * usual.n_params, rel=1e-6)
            else:
                assert np.isnan(price.pays_from)


def test_what_cannot_be_reached_is_nan_or_infinite_and_draws_broadcast():
    draws = Surface(np.array([1.7, 2.2]), np.array([400.0, 400.0]), 410.0, 0.34, 0.28)
    best = cheapest_to_serve(draws, 2.1, 1e12)
    assert np.isfinite(best.n_params).tolist() == [True, False]
    assert size_price(SARDANA, 0.01).compute == np.inf
    assert np.isnan(size_price(SARDANA, 0.01).pays_from)
    assert size_price(SARDANA, 1.0).compute == pytest.approx(1, rel=1e-12)
