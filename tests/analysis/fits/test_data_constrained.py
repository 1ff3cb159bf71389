import numpy as np
import pytest

from analysis.errors import FitError
from analysis.fits.data_constrained import RepeatedFit, effective, fit_repeated
from analysis.fits.surface import Surface

SURFACE = Surface(1.87, 521.0, 1488.0, 0.353, 0.353)


def runs(r_d=15.4, r_n=5.3, noise=0.0):
    rng = np.random.default_rng(0)
    n_params = 10 ** rng.uniform(7, 10, 90)
    unique = 10 ** rng.uniform(8, 10.5, 90)
    epochs = np.where(rng.random(90) < 0.5, 1.0, 10 ** rng.uniform(0.2, 1.8, 90))
    n_tokens = unique * epochs
    truth = RepeatedFit(SURFACE, r_d, r_n, 0.0, 0, 0.0, "converged", "")
    loss = truth.loss(n_params, n_tokens, epochs) * np.exp(rng.normal(0, noise, 90))
    return n_params, n_tokens, epochs, loss


def test_decay_constants_and_surface_are_recovered():
    fit = fit_repeated(*runs())
    assert fit.status == "converged"
    assert pytest.approx((15.4, 5.3), rel=1e-3) == (fit.R_D, fit.R_N)
    assert fit.surface.alpha == pytest.approx(0.353, rel=1e-3)
    assert fit.rms < 1e-5


def test_noise_leaves_them_near():
    fit = fit_repeated(*runs(noise=0.003))
    assert pytest.approx((15.4, 5.3), rel=0.25) == (fit.R_D, fit.R_N)


def test_new_tokens_are_worth_themselves_and_repeats_ever_less():
    worth = effective(np.array([1.0, 2.0, 4.0, 1e9]), np.ones(4), decay=15.0)
    assert worth[0] == 1
    assert worth[1] == pytest.approx(1 + 15 * (1 - np.exp(-1 / 15)))
    assert worth[3] == pytest.approx(16.0)


def test_without_repetition_there_is_nothing_to_fit():
    n_params, n_tokens, epochs, loss = runs()
    with pytest.raises(FitError, match="0 run"):
        fit_repeated(n_params, n_tokens, np.ones_like(epochs), loss)
