"""Budgets of runs that name none: clusters of their FLOPs."""

import numpy as np

GAPS = (0.03, 0.045, 0.06, 0.08, 0.1, 0.13)
"""Gaps in log FLOPs at which clusters are tried apart."""


def group_by_flops(flops: np.ndarray, least: int = 4) -> np.ndarray:
    """The budget of each run, (runs,), by clustering FLOPs; NaN for a run that stands apart.

    Sorted FLOPs are cut wherever neighbours differ by more than a gap in the logarithm. A cluster
    needs `least` runs within a factor of 1.5; its budget is their median. Of GAPS, the one that
    gathers most runs is taken.
    """
    groupings = [_grouped(flops, gap, least) for gap in GAPS]
    return max(groupings, key=lambda budget: int(np.isfinite(budget).sum()))


def _grouped(flops: np.ndarray, gap: float, least: int) -> np.ndarray:
    order = np.argsort(flops)
    log_flops = np.log(flops[order])
    cluster = np.concatenate([[0], np.cumsum(np.diff(log_flops) > gap)])
    budget = np.full(len(flops), np.nan)
    for label in np.unique(cluster):
        rows = order[cluster == label]
        if len(rows) >= least and np.ptp(np.log(flops[rows])) < np.log(1.5):
            budget[rows] = np.median(flops[rows])
    return budget
