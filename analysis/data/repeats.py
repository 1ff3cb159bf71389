"""Rows that repeat one cell of size and tokens under other settings: only the best is evidence.

A scaling law is of well-tuned runs. The rows of a sweep over learning rates and batch sizes are one
measurement of the tuned loss, not a hundred of the law, and most of them lie far above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.reading.names import split_header
from analysis.data.table_error import TableError

HYPERPARAMETERS = frozenset((
    "lr", "learning_rate", "lr_peak", "peak_lr", "max_lr", "base_lr", "min_lr", "bs", "batch",
    "batch_size", "batch_tokens", "global_batch_size", "wd", "weight_decay", "warmup",
    "warmup_steps", "warmup_tokens", "warmup_ratio", "beta1", "beta2", "adam_beta2", "momentum",
    "optimizer", "optimiser", "dropout", "init_std", "eps", "grad_clip",
))  # fmt: skip
"""Columns, normalised, whose values a run is tuned over."""

SAME_CELL = 0.02
"""Sizes and tokens within 2 % are one cell: batches of unlike size end at unlike counts."""

FEWEST_REPEATS = 3
LEAST_SPREAD = 0.01
"""Median range of log loss in a cell below which its rows look like seeds, not settings."""


@dataclass(frozen=True)
class Tuned:
    """The best run of each cell, and what the cells were swept over.

    Attributes:
        keep: The best row of each cell, (rows,) of bool.
        best: The least loss of each row's cell, (rows,).
        best_rows: The row of the best run of each row's cell, (rows,).
        columns: What makes a cell.
        swept: Settings that differ within cells.
        counts: Rows of each cell, (cells,).
        runner_up: Median over cells of the loss of the second best over the best, minus 1.
    """

    keep: np.ndarray
    best: np.ndarray
    best_rows: np.ndarray
    columns: tuple[str, ...]
    swept: tuple[str, ...]
    counts: np.ndarray
    runner_up: float

    @property
    def note(self) -> str:
        """What a reader must know of fits to the best run of each cell."""
        low, high = int(self.counts.min()), int(self.counts.max())
        each = f"{low}" if low == high else f"{low} to {high}"
        over = f" over {', '.join(self.swept)}" if self.swept else ""
        uneven = (
            "; the best of more settings lies lower, and cells have unlike numbers of them"
            if high > 2 * low
            else ""
        )
        return (
            f"{len(self.counts)} cells of one {' and '.join(self.columns)} are swept{over} ({each} "
            f"runs each); the fits are of the best run of each, the second best is "
            f"{100 * self.runner_up:.2g} % above it (median){uneven} (fit.best_of=[] fits all)"
        )


def tuned(frame: pd.DataFrame, loss: np.ndarray, best_of: Sequence[str] | None) -> Tuned | None:
    """The best run of each cell of `best_of`; None where every row is a cell of its own.

    Args:
        frame: The runs.
        loss: Their losses, (rows,), > 0.
        best_of: Columns that make a cell; None for n_params and n_tokens where the table looks like
            a sweep over settings; empty for no cells.

    Raises:
        TableError: No such column.
    """
    asked = best_of is not None
    columns = tuple(best_of) if best_of is not None else ("n_params", "n_tokens")
    missing = [name for name in columns if name not in frame]
    if missing:
        raise TableError(f"fit.best_of: the table has no column {missing[0]!r}")
    if not columns or not len(frame):
        return None
    cell = cells_of(frame, columns)
    swept = _swept(frame, cell)
    counts = np.bincount(cell)
    if counts.max() == 1 or not (asked or (swept and _looks_swept(cell, counts, loss))):
        return None
    order = np.lexsort((loss, cell))
    first = np.append(True, cell[order][1:] != cell[order][:-1])
    keep = np.zeros(len(cell), dtype=bool)
    keep[order[first]] = True
    least = np.full(len(counts), np.inf)
    np.minimum.at(least, cell, loss)
    second = np.append(False, first[:-1]) & ~first
    above = loss[order[second]] / least[cell[order[second]]] - 1
    gap = float(np.median(above)) if second.any() else 0.0
    return Tuned(keep, least[cell], order[first][cell], columns, swept, counts, gap)


def cells_of(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """The number of each row's cell, (rows,) from 0: equal texts, and numbers within 2 %."""
    parts = []
    for name in columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            parts.append(_grouped(np.asarray(column, dtype=float)))
        else:
            parts.append(np.unique(column.astype(str).to_numpy(), return_inverse=True)[1])
    return np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)[1].ravel()


def _grouped(values: np.ndarray) -> np.ndarray:
    """Groups of numbers, each within 2 % of its smallest; no chain can make one wider."""
    distinct = np.unique(values)
    group, start, number = np.zeros(len(distinct), dtype=int), 0, 0
    for i in range(1, len(distinct)):
        low, value = distinct[start], distinct[i]
        if not (value == low or (low > 0 and value <= low * (1 + SAME_CELL))):
            start, number = i, number + 1
        group[i] = number
    return group[np.searchsorted(distinct, values)]


def _swept(frame: pd.DataFrame, cell: np.ndarray) -> tuple[str, ...]:
    """Hyperparameters that differ within most cells of several rows."""
    found = []
    several = np.flatnonzero(np.bincount(cell) > 1)
    for name in map(str, frame.columns):
        last = split_header(name)[0].replace(".", "/").split("/")[-1]
        if last not in HYPERPARAMETERS:
            continue
        pairs = pd.DataFrame({"cell": cell, "value": frame[name].astype(str)}).drop_duplicates()
        distinct = np.bincount(pairs["cell"], minlength=cell.max() + 1)
        if len(several) and (distinct[several] > 1).mean() > 0.5:
            found.append(name)
    return tuple(found)


def _looks_swept(cell: np.ndarray, counts: np.ndarray, loss: np.ndarray) -> bool:
    repeated = counts >= FEWEST_REPEATS
    if counts[repeated].sum() < 0.5 * len(cell):
        return False
    low, high = np.full(len(counts), np.inf), np.full(len(counts), -np.inf)
    np.minimum.at(low, cell, np.log(loss))
    np.maximum.at(high, cell, np.log(loss))
    return float(np.median((high - low)[repeated])) > LEAST_SPREAD
