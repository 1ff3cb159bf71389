"""Points of training curves with their learning rates, of sweeps and of tables of curves."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from analysis.data.loss_table import as_numbers
from analysis.data.reading.formats import read_cells
from analysis.data.table_error import TableError
from train.rundir.sweep_layout import SweepPaths

NAMES = {
    "run": ("curve", "run", "run_id", "run_name", "name"),
    "n_tokens": ("n_tokens", "tokens", "step"),
    "lr": ("lr", "learning_rate"),
    "loss": ("loss", "train_loss"),
    "n_params": ("n_params", "params"),
}
"""What a table's columns may be called; steps serve as tokens where a table has no others."""

COLUMNS = ("run_id", "n_tokens", "lr", "train_loss", "loss")


def sweep_points(directories: list[Path]) -> pd.DataFrame:
    """Every logged point of the sweeps' curves; empty where none were kept with a learning rate.

    Returns:
        Columns run_id, n_tokens, lr, train_loss (the mean since the point before) and loss (of
        validation, NaN at most points).
    """
    paths = [SweepPaths(directory).table("curves") for directory in directories]
    frames = [
        pq.read_table(path, columns=list(COLUMNS)).to_pandas()
        for path in paths
        if path.is_file() and set(COLUMNS) <= set(pq.read_schema(path).names)
    ]
    empty = pd.DataFrame({name: [] for name in COLUMNS})
    return pd.concat(frames, ignore_index=True) if frames else empty


def table_points(path: Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A table of loss curves: columns run, n_tokens (or step), lr, loss, and n_params if there.

    Args:
        path: Any tabular file.
        columns: The table's own names of these columns.

    Raises:
        TableError: A column is missing.
    """
    frame, given = read_cells(path).frame, dict(columns or {})
    found = {}
    for ours, theirs in NAMES.items():
        names = [given[ours]] if ours in given else theirs
        own = next((name for name in names if name in frame), None)
        if own is None and ours != "n_params":
            raise TableError(
                f"{path} has no column {ours} of its curves ({', '.join(names)}); it has "
                f"{', '.join(map(str, frame.columns))}: table.columns={{{ours}: THEIRS}}"
            )
        if ours == "run":
            found[ours] = [str(value) for value in frame[own].tolist()]
        else:
            found[ours] = as_numbers(frame, own) if own else np.ones(len(frame))
    return pd.DataFrame(found)
