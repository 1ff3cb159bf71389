import numpy as np
import pytest

from analysis.errors import FitError
from analysis.stats.resampling import (
    percentile_interval,
    resample_counts,
    seed_counts,
    stratified_counts,
)


def test_every_resample_holds_as_many_runs_as_there_are():
    counts = resample_counts(30, 200, np.random.default_rng(0))
    assert (counts.sum(axis=1) == 30).all()
    assert counts.std() > 0.5


def test_clusters_are_drawn_whole():
    clusters = np.array(["a", "a", "b", "b", "b", "c"])
    counts = resample_counts(6, 100, np.random.default_rng(0), clusters)
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 2] == counts[:, 4]).all()
    assert (counts[:, [0, 2, 5]].sum(axis=1) == 3).all()


def test_strata_keep_their_sizes():
    strata = np.array([1, 1, 1, 2, 2])
    counts = stratified_counts(strata, 50, np.random.default_rng(0))
    assert (counts[:, :3].sum(axis=1) == 3).all()
    assert (counts[:, 3:].sum(axis=1) == 2).all()


def test_seeds_vary_within_their_cell_only():
    cells, seeds = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0])
    counts = seed_counts(cells, seeds, 50, np.random.default_rng(0))
    assert (counts[:, 4] == 1).all()
    assert (counts[:, :2].sum(axis=1) == 2).all()
    with pytest.raises(FitError, match="two seeds"):
        seed_counts(np.arange(3), np.zeros(3), 10, np.random.default_rng(0))


def test_one_cluster_is_refused():
    with pytest.raises(FitError, match="1 cluster"):
        resample_counts(3, 10, np.random.default_rng(0), np.zeros(3))


def test_percentiles_and_failed_draws():
    draws = np.arange(1001.0)
    assert percentile_interval(draws) == pytest.approx((25.0, 975.0))
    assert np.isnan(percentile_interval(np.where(draws < 200, np.nan, draws))).all()
