import numpy as np
import pytest

from analysis.fits.parametric.fit import fit_parametric
from analysis.fits.surface import Surface
from analysis.studies.unit_check import mixed_units


def runs(n_runs=60, in_bits=0):
    rng = np.random.default_rng(0)
    surface = Surface(1.7, 400.0, 410.0, 0.34, 0.28)
    n_params = 10 ** rng.uniform(6, 9.5, n_runs)
    n_tokens = n_params * 10 ** rng.uniform(0, 2.5, n_runs)
    loss = surface.loss(n_params, n_tokens) * np.exp(rng.normal(0, 0.01, n_runs))
    loss[rng.choice(n_runs, in_bits, replace=False)] /= np.log(2)
    return n_params, n_tokens, loss


@pytest.mark.parametrize("in_bits", [3, 10, 20])
def test_losses_in_bits_are_counted(in_bits):
    assert mixed_units(fit_parametric(*runs(in_bits=in_bits)).residuals) == in_bits


def test_honest_tables_raise_no_suspicion():
    assert mixed_units(fit_parametric(*runs()).residuals) == 0
    rng = np.random.default_rng(1)
    assert mixed_units(rng.normal(0, 0.3, 500)) == 0
    assert mixed_units(np.array([0.0, 0.37])) == 0
