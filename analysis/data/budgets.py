"""Budgets of runs that name none: FLOPs that recur to every digit, else clusters of them."""

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


def recurring_flops(flops: np.ndarray, n_params: np.ndarray) -> np.ndarray:
    """FLOPs that at least three sizes share to every digit, (runs,); NaN for other runs.

    Nobody gets equal FLOPs by chance: they are what the runs were planned for,
    under any column name. All NaN where less than half of the runs are on such budgets.
    """
    # Nine digits: 6 N D of tokens that were rounded to whole ones differs in the tenth.
    key = np.full(len(flops), np.nan)
    known = np.isfinite(flops) & (flops > 0)
    key[known] = [float(f"{value:.8e}") for value in flops[known]]
    budget = np.full(len(flops), np.nan)
    for value in np.unique(key[known]):
        rows = key == value
        if len(np.unique(n_params[rows])) >= 3:
            budget[rows] = value
    few = np.isfinite(budget).sum() < 0.5 * len(flops)
    return np.full(len(flops), np.nan) if few else budget


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
