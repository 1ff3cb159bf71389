import numpy as np
import pytest

from analysis.errors import FitError
from analysis.fits.parametric.fit import fit_parametric
from analysis.fits.parametric.profile_likelihood import PROFILED, profile
from analysis.fits.surface import Surface

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


def noisy(n_runs=60, noise=0.004, seed=0, spread=3.5):
    rng = np.random.default_rng(seed)
    n_params = 10 ** rng.uniform(6, 6 + spread, n_runs)
    n_tokens = n_params * 10 ** rng.uniform(0, 2.5, n_runs)
    loss = SURFACE.loss(n_params, n_tokens) * np.exp(rng.normal(0, noise, n_runs))
    return fit_parametric(n_params, n_tokens, loss)


@pytest.mark.parametrize("name", PROFILED)
def test_the_profile_has_its_minimum_at_the_fit_and_rises_on_both_sides(name):
    fit = noisy()
    found = profile(fit, name)
    middle = len(found.values) // 2
    assert found.values[middle] == pytest.approx(getattr(fit, name), rel=1e-9)
    assert found.deviance[middle] == pytest.approx(0, abs=1e-6)
    assert (found.deviance >= 0).all()
    assert found.interval[0] < getattr(fit, name) < found.interval[1]
    assert not found.flat


def test_held_minima_are_those_of_fits_with_the_parameter_fixed():
    fit = noisy()
    found = profile(fit, "A")
    middle = len(found.values) // 2
    runs = fit.runs
    n_params, n_tokens = np.exp(runs.u + runs.u_mean), np.exp(runs.v + runs.v_mean)
    rise = {}
    for i in (middle + 4, middle + 12):
        held = fit_parametric(n_params, n_tokens, runs.loss, fixed={"A": found.values[i]})
        rise[i] = held.objective - fit.objective
    ratio = found.deviance[middle + 12] / found.deviance[middle + 4]
    assert rise[middle + 12] / rise[middle + 4] == pytest.approx(ratio, rel=1e-4)


def test_an_unbounded_parameter_is_flat():
    fit = noisy(n_runs=12, noise=0.05, seed=4, spread=0.7)
    assert any(profile(fit, name).flat for name in ("E", "A", "alpha"))


def test_what_has_no_profile_is_refused():
    fit = noisy()
    with pytest.raises(FitError, match="no profile"):
        profile(fit, "G")
