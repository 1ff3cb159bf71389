import re

import numpy as np
import pytest

from analysis.errors import FitError
from analysis.fits.parametric.fit import fit_parametric, refit
from analysis.fits.surface import Surface
from analysis.stats.resampling import resample_counts
from tests.support.published import hoffmann_runs

NAMES = ("A", "B", "E", "alpha", "beta")
SURFACE = Surface(1.7, 400, 410, 0.34, 0.28)


@pytest.fixture(scope="module")
def hoffmann():
    return hoffmann_runs(245)


@pytest.fixture(scope="module")
def hoffmann240():
    return hoffmann_runs(240)


def made(surface, n_runs=30, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    n_params = 10 ** rng.uniform(6, 9.5, n_runs)
    n_tokens = n_params * 10 ** rng.uniform(0, 2.5, n_runs)
    loss = surface.loss(n_params, n_tokens) * np.exp(rng.normal(0, noise, n_runs))
    return n_params, n_tokens, loss


@pytest.mark.parametrize(
    ("options", "expected", "objective"),
    [
        ({}, (477.83, 2143.42, 1.81722, 0.34731, 0.36717), 1.018274018e-3),
        ({"delta": 0}, (482.01, 2085.43, 1.81686, 0.34781, 0.36585), None),
    ],
)
def test_published_fit_of_240_rows(hoffmann240, options, expected, objective):
    fit = fit_parametric(*hoffmann240, **options)
    assert fit.status == "converged"
    assert tuple(getattr(fit, name) for name in NAMES) == pytest.approx(expected, rel=1.5e-5)
    if objective is not None:
        assert fit.objective == pytest.approx(objective, rel=1e-8)


def test_published_fit_of_all_245_rows(hoffmann):
    fit = fit_parametric(*hoffmann)
    expected = (495.73, 12845.6, 1.89134, 0.34931, 0.45305)
    assert tuple(getattr(fit, name) for name in NAMES) == pytest.approx(expected, rel=1.5e-5)
    assert fit.objective == pytest.approx(1.82601e-3, rel=1e-5)


def test_no_worse_than_hoffmanns_own_estimate(hoffmann240):
    own = {"A": np.exp(6.0073404), "B": np.exp(6.0179186), "E": np.exp(0.5267228)}
    held = fit_parametric(*hoffmann240, fixed={**own, "alpha": 0.33917, "beta": 0.28491})
    assert held.objective == pytest.approx(1.231e-3, rel=1e-3)
    assert fit_parametric(*hoffmann240).objective < held.objective


@pytest.mark.parametrize(
    "surface",
    [
        Surface(1.69, 406.4, 410.7, 0.34, 0.28),
        Surface(0.5, 50.0, 2000.0, 0.2, 0.6),
        Surface(2.5, 1e5, 1e4, 0.7, 0.45),
        Surface(0.1, 20.0, 20.0, 0.1, 0.15),
    ],
)
def test_noiseless_surfaces_are_recovered(surface):
    fit = fit_parametric(*made(surface))
    for name in NAMES:
        assert getattr(fit, name) == pytest.approx(getattr(surface, name), rel=1e-6)
    assert fit.n_basins >= 1
    assert fit.optimal(1e21).n_params == pytest.approx(surface.optimal(1e21).n_params, rel=1e-6)


def test_reduction_changes_the_objective_and_nothing_else():
    runs = made(SURFACE, n_runs=60, noise=0.01)
    total, mean = (fit_parametric(*runs, reduction=r) for r in ("sum", "mean"))
    assert mean.objective == pytest.approx(total.objective / 60)
    assert mean.alpha == pytest.approx(total.alpha, rel=1e-9)


def test_a_run_of_weight_two_is_that_run_twice():
    n_params, n_tokens, loss = made(Surface(1.7, 400, 410, 0.34, 0.28), noise=0.01)
    weights = np.ones(30)
    weights[3] = 2
    weighted = fit_parametric(n_params, n_tokens, loss, weights=weights)
    doubled = fit_parametric(*(np.append(c, c[3]) for c in (n_params, n_tokens, loss)))
    assert weighted.alpha == pytest.approx(doubled.alpha, rel=1e-6)
    assert weighted.objective == pytest.approx(doubled.objective, rel=1e-9)


def test_asymmetric_loss_lowers_the_surface_under_badly_trained_runs():
    n_params, n_tokens, loss = made(Surface(1.7, 400, 410, 0.34, 0.28), n_runs=200, noise=0.002)
    loss[::4] *= 1.05
    fair = fit_parametric(n_params, n_tokens, loss)
    lenient = fit_parametric(n_params, n_tokens, loss, above=0.1)
    assert np.median(lenient.residuals) > np.median(fair.residuals)
    assert lenient.loss(1e8, 1e10) < fair.loss(1e8, 1e10)


@pytest.mark.parametrize("fixed", [{"alpha": 0.34}, {"A": 400.0}, {"E": 1.7, "beta": 0.28}])
def test_fixed_parameters_stay_and_the_rest_is_recovered(fixed):
    surface = Surface(1.7, 400, 410, 0.34, 0.28)
    fit = fit_parametric(*made(surface), fixed=fixed)
    for name in NAMES:
        assert getattr(fit, name) == pytest.approx(getattr(surface, name), rel=1e-6)


def test_a_surface_without_irreducible_loss_hits_the_bound():
    fit = fit_parametric(*made(Surface(0.0, 400, 410, 0.34, 0.28)))
    assert fit.status == "bound_hit"
    assert "E" in fit.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda n, d: (np.full_like(n, 1e8), d), "model size"),
        (lambda n, d: (n, np.full_like(d, 1e10)), "number of tokens"),
        (lambda n, d: (n, 1e19 / n), "one compute budget"),
        (lambda n, d: (n, 20 * n), r"N and D lie on one line \(D = 20 N, exactly\)"),
        (lambda n, d: (n, n**0.5 * 1e5), r"one line \(D proportional to N\^0.50, exactly\)"),
        (lambda n, d: (1e8 * (n / n.min()) ** 0.01, d), "model size does not vary"),
        (lambda n, d: (n, 1e10 * (d / d.min()) ** 0.005), "number of tokens does not vary"),
    ],
)
def test_runs_that_cannot_tell_are_degenerate_not_numbers(change, reason):
    n_params, n_tokens, _ = made(Surface(1.7, 400, 410, 0.34, 0.28))
    n_params, n_tokens = change(n_params, n_tokens)
    loss = Surface(1.7, 400, 410, 0.34, 0.28).loss(n_params, n_tokens)
    fit = fit_parametric(n_params, n_tokens, loss)
    assert fit.status == "degenerate"
    assert re.search(reason, fit.reason)
    assert np.isnan(fit.alpha)


def test_twenty_tokens_a_parameter_with_rounded_steps_is_a_line_too():
    rng = np.random.default_rng(0)
    n_params = np.geomspace(1e7, 1e10, 14)
    n_tokens = 20 * n_params * np.exp(rng.normal(0, 0.01, 14))
    loss = SURFACE.loss(n_params, n_tokens) * np.exp(rng.normal(0, 0.004, 14))
    fit = fit_parametric(n_params, n_tokens, loss)
    assert fit.status == "degenerate"
    assert "N and D lie on one line (D = 20 N, within" in fit.reason


def test_along_a_line_a_known_term_leaves_the_other_determined():
    n_params = np.geomspace(1e7, 1e10, 14)
    loss = SURFACE.loss(n_params, 20 * n_params)
    fit = fit_parametric(n_params, 20 * n_params, loss, fixed={"A": 400.0, "alpha": 0.34})
    assert fit.beta == pytest.approx(0.28, rel=1e-6)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_impossible_losses_are_refused(bad):
    n_params, n_tokens, loss = made(Surface(1.7, 400, 410, 0.34, 0.28))
    loss[4] = bad
    with pytest.raises(FitError, match=r"loss\[4\].*positive finite"):
        fit_parametric(n_params, n_tokens, loss)


def test_bad_arguments_are_refused():
    runs = made(Surface(1.7, 400, 410, 0.34, 0.28), n_runs=4)
    with pytest.raises(FitError, match="4 runs can't determine 5"):
        fit_parametric(*runs)
    with pytest.raises(FitError, match="one length"):
        fit_parametric(runs[0], runs[1][:2], runs[2])
    with pytest.raises(FitError, match="gamma"):
        fit_parametric(*runs, fixed={"gamma": 1.0})


def test_refits_are_the_fits_of_the_resamples():
    runs = made(SURFACE, n_runs=120, noise=0.01)
    fit = fit_parametric(*runs)
    counts = resample_counts(120, 20, np.random.default_rng(3))
    draws = fit.problem.surface(refit(fit, counts))
    for i in (0, 7, 19):
        rows = np.repeat(np.arange(120), counts[i].astype(int))
        alone = fit_parametric(*(column[rows] for column in runs))
        assert draws.alpha[i] == pytest.approx(alone.alpha, rel=1e-5)
        assert draws.B[i] == pytest.approx(alone.B, rel=1e-4)


@pytest.mark.slow
def test_published_bootstrap(hoffmann240):
    fit = fit_parametric(*hoffmann240)
    legacy = np.random.RandomState(42)
    rows = [legacy.choice(240, 240) for _ in range(4000)]
    counts = np.stack([np.bincount(row, minlength=240) for row in rows]).astype(float)
    draws = fit.problem.surface(refit(fit, counts))
    errors = {
        "A": 124.522,
        "B": 1293.284,
        "E": 0.02566,
        "alpha": 0.01540,
        "beta": 0.02060,
        "a": 0.020,
    }
    for name, error in errors.items():
        assert np.std(getattr(draws, name)) == pytest.approx(error, rel=0.02)
    assert np.quantile(draws.A, [0.025, 0.975]) == pytest.approx([285.2, 743.6], rel=5e-3)
    assert np.quantile(draws.B, [0.025, 0.975]) == pytest.approx([1042, 5810], rel=5e-3)
