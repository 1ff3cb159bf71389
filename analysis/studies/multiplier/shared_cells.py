"""Resamples of two sets of runs in step: what both trained alike is drawn together."""

import numpy as np

from analysis.stats.resampling import resample_counts
from analysis.studies.study import Study

CELL = ("n_params", "n_tokens", "seed")
"""Columns in which a run of one sweep and a run of another are the same cell."""


def cells(study: Study) -> np.ndarray:
    """A text for each run that is equal where size, tokens and seed are, (runs,)."""
    columns = [np.nan_to_num(study.table.numbers(name)) for name in CELL]
    return np.array([" ".join(f"{v:.6g}" for v in row) for row in zip(*columns, strict=True)])


def n_shared(first: np.ndarray, second: np.ndarray) -> int:
    """Cells that both have."""
    return len(np.intersect1d(first, second))


def counts_in_step(
    first: np.ndarray, second: np.ndarray, n_draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """How often each run occurs in each resample, (draws, runs) of either.

    Cells that both have are drawn together, so that what a seed or a size does to both cancels
    from their difference; the others each among their own.

    Args:
        first: A label for each run, (runs,).
        second: Of the other's runs.
        n_draws: Resamples.
        rng: For the draws.
    """
    both = np.intersect1d(first, second)
    kinds = [np.where(np.isin(labels, both), 0, 1 + side) for side, labels in
             enumerate((first, second))]  # fmt: skip
    made = [np.zeros((n_draws, len(labels))) for labels in (first, second)]
    for kind in (0, 1, 2):
        rows = [np.flatnonzero(own == kind) for own in kinds]
        labels = np.concatenate([first[rows[0]], second[rows[1]]])
        if kind:  # runs of one side alone: each is drawn for itself, repeats of a cell too
            labels = np.arange(len(labels)).astype(str)
        if not len(labels):
            continue
        if len(np.unique(labels)) < 2:
            drawn = np.ones((n_draws, len(labels)))
        else:
            drawn = resample_counts(len(labels), n_draws, rng, labels)
        made[0][:, rows[0]] = drawn[:, : len(rows[0])]
        made[1][:, rows[1]] = drawn[:, len(rows[0]) :]
    return made[0], made[1]
