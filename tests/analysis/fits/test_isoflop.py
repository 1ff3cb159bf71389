import numpy as np
import pytest

from analysis.data.budgets import group_by_flops
from analysis.errors import FitError
from analysis.fits.isoflop import fit_isoflop
from analysis.fits.isoflop_shapes import minima
from analysis.fits.surface import Surface

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


def grid(budgets=(1e18, 1e19, 1e20, 1e21), widths=(0.2, 0.4, 0.7, 1.3, 2.5, 5.0), noise=0.0):
    rng = np.random.default_rng(0)
    best = SURFACE.optimal(np.array(budgets)).n_params
    n_params = (best[:, None] * np.array(widths)).ravel()
    budget = np.repeat(budgets, len(widths))
    n_tokens = budget / (6 * n_params)
    loss = SURFACE.loss(n_params, n_tokens) * np.exp(rng.normal(0, noise, len(budget)))
    return budget, n_params, n_tokens, loss


def test_exact_parabolas_give_exact_minima():
    budget = np.repeat([1e10, 1e12], 5)
    centre = np.where(budget == 1e10, np.log(1e4), np.log(1e5))
    x = centre + np.tile(np.linspace(-1, 1.5, 5), 2)
    fit = fit_isoflop(budget, np.exp(x), budget / (6 * np.exp(x)), 2 + 0.3 * (x - centre) ** 2)
    assert [valley.n_opt for valley in fit.valleys] == pytest.approx([1e4, 1e5])
    assert [valley.loss for valley in fit.valleys] == pytest.approx([2.0, 2.0])
    assert fit.a == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("curve", "tolerance"),
    [("skewed", 0.005), ("parabola", 0.01), ("cubic", 0.005), ("akima", 0.02)],
)
def test_exponents_of_a_surface(curve, tolerance):
    fit = fit_isoflop(*grid(), curve=curve)
    assert fit.a == pytest.approx(SURFACE.a, abs=tolerance)
    assert fit.b == pytest.approx(SURFACE.b, abs=2 * tolerance)


def test_the_interval_of_a_minimum_shrinks_with_the_noise():
    loud, quiet = (fit_isoflop(*grid(noise=noise)) for noise in (0.004, 0.001))
    assert loud.valleys[0].sigma > 2 * quiet.valleys[0].sigma
    low, high = loud.valleys[1].interval
    assert low < loud.valleys[1].n_opt < high


def test_a_minimum_at_the_edge_is_flagged_kept_out_and_bracketing_runs_are_proposed():
    budget, n_params, n_tokens, loss = grid()
    largest = budget == 1e21
    kept = ~largest | (n_params < SURFACE.optimal(1e21).n_params * 0.6)
    kept |= largest & (n_params < SURFACE.optimal(1e21).n_params)
    fit = fit_isoflop(budget[kept], n_params[kept], n_tokens[kept], loss[kept])
    edge = fit.valleys[-1]
    assert not edge.bracketed
    assert "largest model" in edge.reason
    assert min(edge.propose) > n_params[kept & largest].max()
    assert fit.n_law.n_points == 3
    assert "1 of 4 budgets" in fit.reason


def test_a_minimum_held_by_one_size_on_a_side_is_called_thin():
    budget, n_params, n_tokens, loss = grid()
    wide = fit_isoflop(budget, n_params, n_tokens, loss)
    assert not any(valley.thin for valley in wide.valleys)
    assert all(valley.propose == () for valley in wide.valleys)
    budget, n_params, n_tokens, loss = grid(widths=(0.2, 0.4, 0.7, 2.0))
    thin = fit_isoflop(budget, n_params, n_tokens, loss).valleys[0]
    assert thin.bracketed and thin.thin
    assert min(thin.propose) > n_params[budget == budget[0]].max()


def test_fewer_than_two_bracketed_budgets_are_degenerate():
    budget, n_params, n_tokens, loss = grid(budgets=(1e19,))
    fit = fit_isoflop(budget, n_params, n_tokens, loss)
    assert fit.status == "degenerate"
    assert fit.n_law is None
    assert np.isnan(fit.a)


def test_too_few_sizes_are_refused():
    budget, n_params, n_tokens, loss = grid(widths=(0.5, 2.0))
    with pytest.raises(FitError, match="3 model sizes"):
        fit_isoflop(budget, n_params, n_tokens, loss)


def test_budgets_are_found_by_clustering():
    flops = np.array([1e18, 1.02e18, 0.99e18, 1.01e18, 3e18, 9e18, 9.1e18, 8.9e18, 9.05e18])
    budget = group_by_flops(flops)
    assert np.isnan(budget[4])
    assert len(np.unique(budget[np.isfinite(budget)])) == 2
    assert (budget[:4] == budget[0]).all()


def test_weighted_minima_are_those_of_the_repeated_runs():
    rng = np.random.default_rng(1)
    x = np.linspace(-1, 1, 8)
    y = (x - 0.2) ** 2 + rng.normal(0, 0.01, 8)
    counts = np.array([[2, 1, 0, 1, 1, 1, 1, 1.0]])
    rows = np.repeat(np.arange(8), counts[0].astype(int))
    position, height, _ = minima(x, y, counts, 2)
    c = np.polyfit(x[rows], y[rows], 2)
    assert position[0] == pytest.approx(-c[1] / (2 * c[0]))
    assert height[0] == pytest.approx(np.polyval(c, position[0]))
