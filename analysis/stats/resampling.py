"""Resampled intervals: which runs a resample holds, and percentiles over resamples.

A resample is a row of counts, one a run, so that a fit under resampling is the same fit under other
weights. Runs that share something (a model size, a budget, a trunk) are drawn together as a
cluster.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from analysis.errors import FitError

Interval = tuple[float, float]


def resample_counts(
    n_runs: int,
    n_resamples: int,
    rng: np.random.Generator,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """How often each run occurs in each resample, (resamples, runs).

    Args:    clusters: a label a run; whole clusters are then drawn, as many as there are. None
             draws single runs (pairs of N, D and loss).
    Raises:  FitError: fewer than two clusters, which no resampling can vary.
    """
    if clusters is None:
        members = np.arange(n_runs)
        n_groups = n_runs
    else:
        labels, members = np.unique(clusters, return_inverse=True)
        n_groups = len(labels)
    if n_groups < 2:
        raise FitError(
            f"{n_groups} cluster(s) can't be resampled; expected at least 2: resample by another "
            f"column, or by runs"
        )
    counts = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples)
    return counts[:, members].astype(float)


def stratified_counts(strata: np.ndarray, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """As `resample_counts`, drawing as many runs within each stratum as it has, (resamples,
    runs).
    """
    counts = np.zeros((n_resamples, len(strata)))
    for label in np.unique(strata):
        rows = np.flatnonzero(strata == label)
        counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), n_resamples)
    return counts


def seed_counts(
    cells: np.ndarray, seeds: np.ndarray, n_resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Resamples over seeds: each cell keeps its place and draws among its own seeds' runs.

    Args:    cells: a label for each (N, D) cell, (runs,); seeds: (runs,).
    Raises:  FitError: no cell ran with two seeds.
    """
    if all(len(np.unique(seeds[cells == cell])) < 2 for cell in np.unique(cells)):
        raise FitError("no cell ran with two seeds; resample by runs, or add seeds to the sweep")
    return stratified_counts(cells, n_resamples, rng)


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> Interval:
    """The central `level` of the finite draws; NaN where more than one in ten of them failed."""
    finite = draws[np.isfinite(draws)]
    if len(finite) < 0.9 * len(draws) or len(finite) < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def in_chunks(
    task: Callable[[np.ndarray], np.ndarray], weights: np.ndarray, chunk: int, n_threads: int = 1
) -> np.ndarray:
    """`task` over consecutive rows of weights, joined again; threads help since numpy lets go."""
    parts = [weights[start : start + chunk] for start in range(0, len(weights), chunk)]
    if n_threads == 1 or len(parts) == 1:
        return np.concatenate([task(part) for part in parts])
    with ThreadPoolExecutor(n_threads) as pool:
        return np.concatenate(list(pool.map(task, parts)))
