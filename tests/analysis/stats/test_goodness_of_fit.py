import numpy as np
import pytest

from analysis.stats.goodness_of_fit import assess_fit, within_groups


def test_scatter_within_groups_by_hand():
    squares, freedom = within_groups(np.array([1.0, 3.0, 10.0]), np.array([7, 7, 8]))
    assert (squares, freedom) == (2.0, 1)


def repeated(misfit: float, noise: float = 0.004, seed: int = 0):
    """Twelve cells of four seeds; the law misses every cell by `misfit`, up or down."""
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(12), 4)
    truth = np.exp(np.linspace(1.5, 1.0, 12))[cells]
    residuals = noise * rng.normal(size=48) + misfit * (-1.0) ** cells
    budget = np.repeat(np.arange(3.0), 16)
    return assess_fit(residuals, truth * np.exp(residuals), cells, budget, n_free=0)


def test_seed_noise_is_that_of_the_repeats():
    quality = repeated(0.0)
    assert quality.seed_noise == pytest.approx(0.004, rel=0.25)
    assert quality.rms == pytest.approx(0.004, rel=0.25)
    assert quality.rms_within_budgets == pytest.approx(0.004, rel=0.25)
    assert quality.share_explained > 0.99


def test_a_law_that_holds_is_rejected_no_more_often_than_stated():
    found = [repeated(0.0, seed=seed).lack_of_fit for seed in range(200)]
    assert 0.02 < np.mean([p is not None and p < 0.05 for p in found]) < 0.10


def test_a_misfit_beyond_the_noise_is_found():
    quality = repeated(0.02)
    assert quality.lack_of_fit is not None and quality.lack_of_fit < 1e-6
    assert quality.rms == pytest.approx(0.02, rel=0.1)


def test_without_repeats_there_is_no_test():
    residuals = np.array([0.01, -0.03, 0.02, 0.0])
    loss = np.array([3.0, 2.5, 2.2, 2.0])
    quality = assess_fit(residuals, loss, np.arange(4), np.full(4, np.nan), n_free=2)
    assert quality.seed_noise is None and quality.lack_of_fit is None
    assert quality.rms_within_budgets is None
    assert quality.worst == (1, 2, 0)
