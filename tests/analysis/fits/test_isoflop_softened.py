import csv
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.stats import multivariate_normal

from analysis.fits.isoflop import fit_isoflop
from analysis.fits.isoflop_roughness import Roughness, correlation, near_minima
from analysis.fits.surface import Surface

BESIROGLU = Surface(1.817, 482.0, 2085.0, 0.3478, 0.3658)
LOPSIDED = Surface(1.7, 100.0, 20000.0, 0.28, 0.45)
PUBLISHED = Path(
    os.environ.get("ISOFLOP_PUBLISHED", Path(__file__).parents[4] / "shared/published")
)


def grid(surface, n_budgets, n_sizes, span, noise=0.0, misfit=0.0, seed=0):
    rng = np.random.default_rng(seed)
    flops = np.geomspace(1e18, 1e21, n_budgets)
    widths = np.exp(np.linspace(-0.5, 0.5, n_sizes) * np.log(span))
    n_params = (np.asarray(surface.optimal(flops).n_params)[:, None] * widths).ravel()
    budget = np.repeat(flops, n_sizes)
    n_tokens = budget / (6 * n_params)
    # Runs on few tokens train badly, and add a term that no additive surface has.
    loss = surface.loss(n_params, n_tokens) + misfit * (3e8 / n_tokens) ** 1.5
    return budget, n_params, n_tokens, loss * np.exp(rng.normal(0, noise, len(budget)))


@pytest.mark.parametrize("surface", [BESIROGLU, LOPSIDED])
@pytest.mark.parametrize("design", [(3, 6, 16), (5, 7, 16), (8, 10, 64)])
def test_noise_free_surfaces_are_recovered(surface, design):
    fit = fit_isoflop(*grid(surface, *design), curve="softened")
    assert fit.profiles[0].curve == "softened"
    assert fit.a == pytest.approx(surface.a, abs=0.005)
    assert fit.b == pytest.approx(surface.b, abs=0.005)
    for profile in fit.profiles:
        best = surface.optimal(profile.flops)
        assert profile.n_opt == pytest.approx(float(best.n_params), rel=0.05)
        assert profile.loss == pytest.approx(float(best.loss), rel=1e-3)


def test_badly_trained_short_runs_do_not_move_the_minimum_that_skewed_misses():
    runs = grid(BESIROGLU, 8, 10, 64, noise=0.004, misfit=1.0)
    truth = []
    for flops in np.unique(runs[0]):
        n = np.geomspace(1e6, 1e12, 40001)
        d = flops / (6 * n)
        truth.append(n[(np.asarray(BESIROGLU.loss(n, d)) + (3e8 / d) ** 1.5).argmin()])
    slope = np.polyfit(np.log(np.unique(runs[0])), np.log(truth), 1)[0]
    held = {}
    for curve in ("skewed", "softened"):
        law = fit_isoflop(*runs, curve=curve).n_law
        assert law is not None
        low, high = law.interval()
        held[curve] = low <= slope <= high
    assert held == {"skewed": False, "softened": True}


PORIAN = list(enumerate([0.835, 0.706, 0.602, 0.571, 0.497]))


def published(name, columns, **where):
    """Columns of a published table, of the rows that hold the given texts."""
    path = PUBLISHED / name
    if not path.exists():
        pytest.skip(f"{path} is absent; set ISOFLOP_PUBLISHED to the folder of published tables")
    with path.open() as file:
        rows = [r for r in csv.DictReader(file) if all(r[k] == v for k, v in where.items())]
    return [np.array([float(row[name]) for row in rows]) for name in columns]


@pytest.mark.parametrize(("number", "exponent"), PORIAN)
def test_published_exponents_of_porian_et_al(number, exponent):
    fit = fit_isoflop(*published(f"porian2024_refinedweb_{number}.csv", ("C", "N", "D", "loss")))
    assert (fit.curve, fit.status) == ("softened", "converged")
    assert fit.n_law is not None
    low, high = fit.n_law.interval()
    assert fit.a == pytest.approx(exponent, abs=0.02)
    assert low <= exponent <= high


@pytest.mark.parametrize(("number", "exponent"), PORIAN)
def test_their_own_procedure_gives_them_with_errors_once_the_noise_is_given(number, exponent):
    runs = published(f"porian2024_refinedweb_{number}.csv", ("C", "N", "D", "loss"))
    fit = fit_isoflop(*runs, curve="akima", noise=0.005)
    assert fit.a == pytest.approx(exponent, abs=0.02)
    assert all(np.isfinite(one.interval).all() for one in fit.bracketed)


@pytest.mark.parametrize(
    ("corpus", "exponent"), [("comma", 0.351), ("dclm", 0.388), ("nemotron", 0.406)]
)
def test_exponents_of_the_marin_sweeps(corpus, exponent):
    columns = ("budget", "params", "tokens", "loss")
    fit = fit_isoflop(*published("marin_202603_isoflops.csv", columns, dataset=corpus))
    assert fit.a == pytest.approx(exponent, abs=0.02)


def test_losses_at_the_minima_have_errors_of_the_right_size():
    off, stated = [], []
    for seed in range(60):
        fit = fit_isoflop(*grid(BESIROGLU, 3, 6, 16, noise=0.004, seed=seed), curve="softened")
        profile = fit.profiles[1]
        off.append(np.log(profile.loss / float(BESIROGLU.optimal(profile.flops).loss)))
        stated.append(np.sqrt(fit.loss_errors[1, 1]))
    assert 0.6 * np.std(off) < np.median(stated) < 2.5 * np.std(off)


def test_the_curve_is_drawn_within_the_runs_and_passes_through_its_minimum():
    fit = fit_isoflop(*grid(BESIROGLU, 3, 6, 16), curve="softened")
    profile = fit.profiles[0]
    assert profile.fitted_loss(np.array([profile.n_opt]))[0] == pytest.approx(
        profile.loss, rel=1e-4
    )
    assert np.isnan(profile.fitted_loss(np.array([profile.n_params.max() * 10]))[0])


def test_too_few_runs_are_fitted_without_roughness_and_the_fit_says_so():
    fit = fit_isoflop(*grid(BESIROGLU, 4, 3, 8, noise=0.004), curve="softened")
    assert fit.curve == "parabola"
    assert "their roughness was not fitted" in fit.reason
    assert "plain parabolas" in fit.reason


def test_an_interval_that_the_runs_do_not_close_ends_at_them_and_is_called_open():
    # Over a factor 4 at this noise no budget tells where its minimum is.
    fit = fit_isoflop(*grid(BESIROGLU, 4, 7, 4, noise=0.03, seed=1), curve="softened")
    for one in fit.profiles:
        for end, edge, is_open in zip(
            one.interval, (one.n_params.min(), one.n_params.max()), one.open_ends, strict=True
        ):
            assert (end == pytest.approx(edge)) == is_open
    assert any(any(one.open_ends) for one in fit.profiles)
    clear = fit_isoflop(*grid(BESIROGLU, 4, 7, 16, noise=0.001), curve="softened")
    assert not any(any(one.open_ends) for one in clear.profiles)
    for one in clear.profiles:
        assert one.interval[0] < one.n_opt < one.interval[1]


def test_many_repeats_change_nothing_but_the_errors():
    """More runs than coefficients are turned into as many rows, which changes no likelihood."""
    once = grid(BESIROGLU, 3, 6, 16, noise=0.004)
    often = [np.concatenate([column] * 30) for column in once]
    rng = np.random.default_rng(5)
    shaken = often[3] * np.exp(rng.normal(0, 0.004, len(often[3])))
    fit = fit_isoflop(often[0], often[1], often[2], shaken, curve="softened")
    assert fit.noise == pytest.approx(0.004, rel=0.1)
    means = np.exp(np.log(shaken).reshape(30, -1).mean(axis=0))
    of_means = fit_isoflop(
        once[0], once[1], once[2], means, curve="softened", noise=0.004 / np.sqrt(30)
    )
    for one, other in zip(fit.profiles, of_means.profiles, strict=True):
        assert np.log(one.n_opt / other.n_opt) == pytest.approx(0, abs=0.3 * one.sigma)
        assert one.sigma == pytest.approx(other.sigma, rel=0.35)


def test_the_evidence_is_the_restricted_likelihood():
    """Against scipy's density of contrasts that are free of the polynomials."""
    columns = grid(LOPSIDED, 3, 7, 16, noise=0.004)
    flops = np.unique(columns[0])
    logs = [
        (np.log(columns[1][rows]), np.log(columns[3][rows]))
        for rows in (columns[0] == value for value in flops)
    ]
    near = near_minima([(x - x.mean(), y) for x, y in logs])
    between = correlation(np.log(flops))
    model = Roughness(near, between, noise=0.004)
    x, walk = np.split(near.design, [near.n_polynomial], axis=1)
    contrast = null_space(x.T).T
    for tau in (0.4, 1.6):
        prior = (tau / 0.004) ** 2 * np.kron(between, np.eye(walk.shape[1] // 3))
        covariance = 0.004**2 * (np.eye(len(near.y)) + walk @ prior @ walk.T)
        seen = multivariate_normal(cov=contrast @ covariance @ contrast.T)
        smooth = multivariate_normal(cov=0.004**2 * contrast @ contrast.T)
        expected = seen.logpdf(contrast @ near.y) - smooth.logpdf(contrast @ near.y)
        assert model.evidence(tau) - model.evidence(0) == pytest.approx(expected, rel=1e-6)


def test_the_posterior_of_the_coefficients_is_that_of_bayes_rule():
    columns = grid(LOPSIDED, 3, 7, 16, noise=0.004)
    flops = np.unique(columns[0])
    near = near_minima(
        [
            (np.log(columns[1][rows]), np.log(columns[3][rows]))
            for rows in (columns[0] == value for value in flops)
        ]
    )
    between, tau = correlation(np.log(flops)), 0.8
    found = Roughness(near, between, noise=0.004).coefficients(tau)
    n_steps = near.design.shape[1] - near.n_polynomial
    prior = tau**2 * np.kron(between, np.eye(n_steps // 3))
    precision = near.design.T @ near.design / 0.004**2
    precision[near.n_polynomial :, near.n_polynomial :] += np.linalg.inv(prior)
    covariance = np.linalg.inv(precision)
    mean = covariance @ near.design.T @ near.y / 0.004**2
    fitted = near.design @ found.mean
    assert fitted == pytest.approx(near.design @ mean, abs=1e-7)
    scale = np.sqrt(np.diag(covariance))
    off = (found.covariance - covariance) / np.outer(scale, scale)
    assert np.abs(off).max() < 1e-4


def test_the_nearest_sizes_count_once_where_seeds_repeat_them():
    x = np.repeat(np.linspace(-2, 2, 9), 3)
    near = near_minima([(x, 3 * x**2)])
    assert sorted(set(near.z + near.centres[0])) == pytest.approx([-1, -0.5, 0, 0.5, 1])
