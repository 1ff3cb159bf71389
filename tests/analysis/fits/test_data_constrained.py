import numpy as np
import pytest

from analysis.errors import FitError
from analysis.fits.data_constrained import (
    DataConstrained,
    RepeatedRuns,
    decay_draws,
    effective,
    fit_decays,
)
from analysis.fits.surface import PARAMETERS, Surface

SURFACE = Surface(1.87, 521.0, 1488.0, 0.353, 0.353)


def runs(r_d=15.4, r_n=5.3, noise=0.0, most_epochs=60.0, n_runs=60):
    rng = np.random.default_rng(0)
    n_params = 10 ** rng.uniform(7, 10, n_runs)
    unique = 10 ** rng.uniform(8, 10.5, n_runs)
    epochs = np.exp(rng.uniform(np.log(1.5), np.log(most_epochs), n_runs))
    loss = DataConstrained(SURFACE, r_d, r_n).loss(n_params, unique * epochs, epochs)
    noisy = np.asarray(loss) * np.exp(rng.normal(0, noise, n_runs))
    return RepeatedRuns(n_params, unique * epochs, unique, noisy)


def test_decay_constants_are_recovered():
    found = fit_decays(SURFACE, runs())
    assert pytest.approx(15.4, rel=1e-4) == found["R_D"].value
    assert pytest.approx(5.3, rel=1e-4) == found["R_N"].value
    assert not found["R_D"].open_sides


def test_noise_leaves_them_within_their_intervals():
    found = fit_decays(SURFACE, runs(noise=0.003))
    for name, truth in (("R_D", 15.4), ("R_N", 5.3)):
        low, high = found[name].interval
        assert low < truth < high < 3 * truth


def test_two_epochs_do_not_bound_how_long_repetition_helps():
    """At two epochs every R_D above 10 gives the same worth within a percent."""
    found = fit_decays(SURFACE, runs(noise=0.003, most_epochs=2.0))
    assert "above" in found["R_D"].open_sides
    assert found["R_D"].interval[1] == np.inf


def test_fixed_values_are_held_and_the_other_moves():
    free, held = fit_decays(SURFACE, runs()), fit_decays(SURFACE, runs(), fixed={"R_D": 4.0})
    assert held["R_D"].fixed and held["R_D"].value == 4.0
    assert abs(held["R_N"].value / free["R_N"].value - 1) > 0.05
    with pytest.raises(FitError, match=r"fixed R_D=-1.0 must lie between"):
        fit_decays(SURFACE, runs(), fixed={"R_D": -1.0})


def test_resamples_are_fits_of_their_own_under_their_own_surface():
    own, weights = runs(noise=0.003), np.ones((2, 60))
    weights[1, :30] = 0
    two = Surface(**{name: np.full(2, getattr(SURFACE, name)) for name in PARAMETERS})
    drawn = decay_draws(two, own, weights, fit_decays(SURFACE, own))
    whole = fit_decays(SURFACE, own)["R_D"].value
    half = RepeatedRuns(*(getattr(own, n)[30:] for n in ("n_params", "n_tokens", "unique", "loss")))
    assert drawn["R_D"] == pytest.approx([whole, fit_decays(SURFACE, half)["R_D"].value], rel=0.01)


def test_new_tokens_are_worth_themselves_and_repeats_ever_less():
    worth = np.asarray(effective(np.array([1.0, 2.0, 4.0, 1e9]), np.ones(4), 15.0))
    assert worth[0] == 1
    assert worth[1] == pytest.approx(1 + 15 * (1 - np.exp(-1 / 15)))
    assert worth[3] == pytest.approx(16.0)


def test_without_repetition_there_is_nothing_to_fit():
    two = runs(n_runs=2)
    with pytest.raises(FitError, match="2 run"):
        fit_decays(SURFACE, two)
