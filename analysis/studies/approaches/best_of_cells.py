"""What is known of runs that are each the best of a sweep over settings, from the whole sweep."""

from dataclasses import replace

import numpy as np

from analysis.data.loss_table import LossTable, as_numbers
from analysis.data.run_arrays import FitInput
from analysis.errors import FitError
from analysis.stats.best_of import CellSweep, best_of
from analysis.studies.fit_config import FitConfig


def with_best_of(table: LossTable, data: FitInput, config: FitConfig) -> tuple[LossTable, FitInput]:
    """The runs with the bias and noise of the best of each cell, and a warning that states them.

    Both as they are where the runs are not the best of cells.
    """
    if not len(table.settings):
        return table, data
    rng = np.random.default_rng(config.seed)
    try:
        found = best_of(_cells(table), rng, config.noise)
    except FitError as error:
        return table.warned(
            f"By how much the best run of a cell lies too low is not known ({error}); intervals "
            f"take it for a single run"
        ), data
    given = "given" if np.isinf(found.freedom) else f"from {found.freedom:.0f} degrees of freedom"
    noted = table.warned(
        f"The best run of a cell lies {100 * found.bias.min():.2g} to {100 * found.bias.max():.2g} "
        f"% below what its settings lose on average, and varies by {100 * found.sd.mean():.2g} % "
        f"between repeats, a single run by {100 * found.noise:.2g} % ({given}); intervals by "
        f"resampling are of losses without that luck"
    )
    return noted, replace(data, best_of=found)


def _cells(table: LossTable) -> list[CellSweep]:
    """Every cell's runs, in the order of the runs that are fitted."""
    frame = table.settings
    columns = [name for name in frame.columns if name not in ("loss", "best_of")]
    values = np.stack(
        [np.log(_positive(as_numbers(frame, name))) for name in columns], axis=1
    ) if columns else np.zeros((len(frame), 0))  # fmt: skip
    values = values[:, np.isfinite(values).all(axis=0)]
    loss, owner = np.log(as_numbers(frame, "loss")), frame["best_of"].astype(str).to_numpy()
    return [
        CellSweep(values[rows], loss[rows])
        for name in table.texts("run_id")
        for rows in [np.flatnonzero(owner == str(name))]
    ]


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)
