import numpy as np
import pytest

from analysis.data.budgets import group_by_flops
from analysis.errors import FitError
from analysis.fits.isoflop import fit_isoflop
from analysis.fits.isoflop_polynomials import minima
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
    loss = 2 + 0.3 * (x - centre) ** 2
    fit = fit_isoflop(budget, np.exp(x), budget / (6 * np.exp(x)), loss, curve="parabola")
    assert [profile.n_opt for profile in fit.profiles] == pytest.approx([1e4, 1e5])
    assert [profile.loss for profile in fit.profiles] == pytest.approx([2.0, 2.0])
    assert fit.a == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("curve", "tolerance"),
    [
        ("softened", 0.005),
        ("skewed", 0.005),
        ("parabola", 0.01),
        ("cubic", 0.005),
        ("akima", 0.02),
    ],
)
def test_exponents_of_a_surface(curve, tolerance):
    fit = fit_isoflop(*grid(), curve=curve)
    assert fit.a == pytest.approx(SURFACE.a, abs=tolerance)
    assert fit.b == pytest.approx(SURFACE.b, abs=2 * tolerance)


def test_the_interval_of_a_minimum_shrinks_with_the_noise():
    loud, quiet = (fit_isoflop(*grid(noise=noise)) for noise in (0.004, 0.001))
    assert loud.profiles[0].sigma > 2 * quiet.profiles[0].sigma
    low, high = loud.profiles[1].interval
    assert low < loud.profiles[1].n_opt < high


def test_a_minimum_at_the_edge_is_flagged_kept_out_and_bracketing_runs_are_proposed():
    budget, n_params, n_tokens, loss = grid()
    largest = budget == 1e21
    kept = ~largest | (n_params < SURFACE.optimal(1e21).n_params * 0.6)
    kept |= largest & (n_params < SURFACE.optimal(1e21).n_params)
    fit = fit_isoflop(budget[kept], n_params[kept], n_tokens[kept], loss[kept])
    edge = fit.profiles[-1]
    assert not edge.bracketed
    assert "largest model" in edge.reason
    assert min(edge.propose) > n_params[kept & largest].max()
    assert fit.n_law.n_points == 3
    assert "1 of 4 budgets" in fit.reason


def test_a_minimum_held_by_one_size_on_a_side_is_called_thin():
    budget, n_params, n_tokens, loss = grid()
    wide = fit_isoflop(budget, n_params, n_tokens, loss)
    assert not any(profile.thin for profile in wide.profiles)
    assert all(profile.propose == () for profile in wide.profiles)
    budget, n_params, n_tokens, loss = grid(widths=(0.2, 0.4, 0.7, 2.0))
    thin = fit_isoflop(budget, n_params, n_tokens, loss).profiles[0]
    assert thin.bracketed and thin.thin
    assert min(thin.propose) > n_params[budget == budget[0]].max()


def half_lost(noise=0.0):
    """Four budgets, of which the two largest have no run beyond the minimum."""
    budget, n_params, n_tokens, loss = grid(noise=noise)
    cut = np.where(budget >= 1e20, SURFACE.optimal(budget).n_params, np.inf)
    kept = n_params < cut
    return budget[kept], n_params[kept], n_tokens[kept], loss[kept]


@pytest.mark.parametrize("curve", ["softened", "skewed", "akima"])
def test_with_half_of_the_minima_lost_the_fit_is_not_converged(curve):
    fit = fit_isoflop(*half_lost(), curve=curve)
    assert fit.n_law is not None
    assert fit.status == "degenerate"
    assert "2 of 4 budgets have no bracketed minimum" in fit.reason


@pytest.mark.parametrize("exponent", [1.34, -0.05])
def test_an_exponent_that_no_allocation_can_have_is_named(exponent):
    budget = np.repeat(np.geomspace(1e18, 1e20, 3), 7)
    centre = 18 + exponent * np.log(budget / 1e18)
    x = centre + np.tile(np.linspace(-1.5, 1.5, 7), 3)
    loss = 2 * np.exp(0.02 * (x - centre) ** 2)
    fit = fit_isoflop(budget, np.exp(x), budget / (6 * np.exp(x)), loss)
    assert fit.a == pytest.approx(exponent, abs=1e-3)
    assert fit.status == "degenerate"
    assert f"N_opt ~ C^{fit.a:.3g} is outside of (0, 1)" in fit.reason


def test_minima_weigh_alike_on_request():
    runs = grid(widths=(0.2, 0.4, 0.7, 1.3, 2.5, 5.0), noise=0.004)
    fit = fit_isoflop(*runs, weights="equal")
    logs = np.log([(one.flops, one.n_opt, one.d_opt) for one in fit.profiles]).T
    assert fit.a == pytest.approx(np.polyfit(logs[0], logs[1], 1)[0], abs=1e-12)
    assert fit.b == pytest.approx(np.polyfit(logs[0], logs[2], 1)[0], abs=1e-12)
    assert fit.a != pytest.approx(fit_isoflop(*runs).a, abs=1e-6)
    with pytest.raises(FitError, match="expected one of errors, equal"):
        fit_isoflop(*runs, weights="none")


@pytest.mark.parametrize("curve", ["softened", "skewed", "parabola", "akima"])
def test_a_given_noise_sets_the_errors_of_the_minima(curve):
    quiet, loud = (fit_isoflop(*grid(noise=0.002), curve=curve, noise=sd) for sd in (0.001, 0.002))
    assert (quiet.noise, quiet.freedom) == (0.001, np.inf)
    ratio = loud.profiles[1].sigma / quiet.profiles[1].sigma
    assert ratio == pytest.approx(2, rel=0.5) and ratio > 1.2
    with pytest.raises(FitError, match="must be positive"):
        fit_isoflop(*grid(), curve=curve, noise=0.0)


def test_akima_without_a_noise_says_that_its_minima_have_no_errors():
    fit = fit_isoflop(*grid(noise=0.002), curve="akima")
    assert "fit.noise" in fit.reason
    assert np.isnan(fit.profiles[0].interval[0])
    given = fit_isoflop(*grid(noise=0.002), curve="akima", noise=0.002)
    assert "fit.noise" not in given.reason
    low, high = given.profiles[0].interval
    assert low < given.profiles[0].n_opt < high


def test_seed_noise_is_that_of_repeated_sizes():
    runs = [np.concatenate([column] * 4) for column in grid(noise=0.0)]
    assert np.isnan(fit_isoflop(*grid()).seed_noise[0])
    shaken = runs[3] * np.exp(np.random.default_rng(3).normal(0, 0.01, len(runs[3])))
    sd, freedom = fit_isoflop(runs[0], runs[1], runs[2], shaken).seed_noise
    assert freedom == 72
    assert sd == pytest.approx(0.01, rel=0.25)


def test_d_opt_follows_the_runs_own_cost():
    """Where tokens fall as N^-1.2 along a budget, errors of D are 1.2 times those of N."""
    budget, n_params, n_tokens, loss = grid(noise=0.004)
    n_tokens = n_tokens * n_params**-0.2
    fit = fit_isoflop(budget, n_params, n_tokens, loss)
    wide_n, wide_d = (np.diff(law.interval())[0] for law in (fit.n_law, fit.d_law))
    assert wide_d == pytest.approx(1.2 * wide_n, rel=1e-6)
    one = fit.profiles[1]
    assert one.d_interval[0] < one.d_opt < one.d_interval[1]
    wide = [np.diff(np.log(ends))[0] for ends in (one.interval, one.d_interval)]
    assert wide[1] == pytest.approx(1.2 * wide[0], rel=1e-6)


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
