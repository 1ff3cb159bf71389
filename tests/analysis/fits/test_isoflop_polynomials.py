import numpy as np
import pytest

from analysis.fits.isoflop_polynomials import fit_polynomials
from analysis.fits.surface import Surface

LOPSIDED = Surface(1.7, 120.0, 9000.0, 0.28, 0.45)


def profiles(budgets=(1e17, 1e18, 1e19, 1e20), noise=0.0, seed=0):
    """log N about its mean, with the true optimum in the same coordinate."""
    rng = np.random.default_rng(seed)
    made, truth = [], []
    for flops in budgets:
        best = float(LOPSIDED.optimal(flops).n_params)
        x = np.log(best * np.geomspace(0.15, 6, 8))
        n_params = np.exp(x)
        loss = np.asarray(LOPSIDED.loss(n_params, flops / (6 * n_params)))
        made.append((x - x.mean(), loss * np.exp(rng.normal(0, noise, 8))))
        truth.append(np.log(best) - x.mean())
    return made, np.array(truth)


def errors(curve, **options):
    made, truth = profiles(**options)
    return np.array([shape.position for shape in fit_polynomials(made, curve).shapes]) - truth


def test_one_shared_skewness_takes_out_most_of_the_parabolas_bias():
    assert np.abs(errors("skewed")).max() < 0.35 * np.abs(errors("parabola")).min()


def test_it_costs_less_than_a_cubic_for_each_budget():
    spread = {
        curve: np.std([errors(curve, noise=0.004, seed=seed)[1] for seed in range(200)])
        for curve in ("skewed", "cubic")
    }
    assert spread["skewed"] < 0.8 * spread["cubic"]


@pytest.mark.parametrize("curve", ["skewed", "parabola", "cubic"])
def test_stated_errors_are_the_spread_over_noise(curve):
    found = [
        fit_polynomials(profiles(noise=0.004, seed=s)[0], curve, noise=None) for s in range(300)
    ]
    positions = np.array([[shape.position for shape in f.shapes] for f in found])
    stated = np.median([[shape.sigma for shape in f.shapes] for f in found], axis=0)
    whole = np.isfinite(positions).all(axis=1)
    assert np.std(positions[whole], axis=0) == pytest.approx(stated, rel=0.25)


def test_skewness_ties_the_minima_together():
    made, _ = profiles(noise=0.004)
    skewed, parabola = (fit_polynomials(made, curve).covariance for curve in ("skewed", "parabola"))
    assert np.abs(parabola - np.diag(np.diag(parabola))).max() < 1e-12
    assert skewed[0, 1] > 0.1 * skewed[0, 0]


def test_too_few_runs_for_a_skewness_fall_back_to_parabolas():
    made = [(x[::3], loss[::3]) for x, loss in profiles(budgets=(1e17,))[0]]
    assert fit_polynomials(made, "skewed").curve == "parabola"


def test_noise_is_that_of_the_losses():
    made, _ = profiles(budgets=np.geomspace(1e17, 1e20, 12), noise=0.004)
    assert fit_polynomials(made, "cubic").noise == pytest.approx(0.004, rel=0.3)
    known = fit_polynomials(made, "parabola", noise=0.01)
    assert (known.noise, known.freedom) == (0.01, np.inf)
