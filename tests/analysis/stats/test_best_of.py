import numpy as np
import pytest

from analysis.errors import FitError
from analysis.stats.best_of import CellSweep, best_of


def swept(noise, rng, n_settings=48, steepness=0.002):
    """One cell: a bowl in two settings, whose best setting loses exp(0)."""
    settings = rng.uniform(-3, 3, (n_settings, 2))
    return CellSweep(settings, steepness * (settings**2).sum(axis=1) + noise * rng.normal(size=48))


@pytest.mark.parametrize("noise", [0.0014, 0.01])
def test_bias_noise_and_spread_are_those_of_simulated_cells(noise):
    rng = np.random.default_rng(0)
    cells = [swept(noise, rng) for _ in range(60)]
    found = best_of(cells, np.random.default_rng(1))
    best_setting = [0.002 * (cell.settings**2).sum(axis=1).min() for cell in cells]
    luck = np.array([cell.log_loss.min() for cell in cells]) - best_setting
    assert found.noise == pytest.approx(noise, rel=0.12)
    assert found.bias.mean() == pytest.approx(-luck.mean(), rel=0.35)
    assert found.sd.mean() == pytest.approx(luck.std(), rel=0.35)
    assert found.sd.mean() < 0.9 * noise
    assert found.freedom == 60 * 6


def test_noise_that_is_given_is_taken_and_few_runs_without_it_are_refused():
    rng = np.random.default_rng(0)
    pair = CellSweep(np.zeros((2, 0)), np.array([0.0, 0.001]))
    with pytest.raises(FitError, match=r"give it with fit\.noise="):
        best_of([pair], rng)
    found = best_of([pair], rng, noise=0.01)
    # The lesser of two equal normal variates lies 1/sqrt(pi) below their mean.
    assert found.bias[0] == pytest.approx(0.01 / np.sqrt(np.pi), rel=0.15)
    assert (found.noise, found.freedom) == (0.01, np.inf)
