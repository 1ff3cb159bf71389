"""Where tables of runs come from: sweep directories, files of any format, frames in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.data.budgets import recurring_flops
from analysis.data.checkpoints import join_rows, naming_column, unfinished
from analysis.data.clean import clean, only_finished
from analysis.data.loss_table import CURVE_COLUMNS, LossTable, TableError, as_numbers
from analysis.data.reading.formats import Cells, read_cells
from analysis.data.reading.six_nd import QUANTITIES, active_params, completed, disagreement
from analysis.data.reading.summary import what_was_read
from analysis.data.reading.understand import AS_IT_SAYS, TableOptions, understand
from analysis.data.reading.units import suspicion
from analysis.data.training.smoothed import training_curves
from eval.evals_table import trained_alone, upgraded_frame
from train.rundir.sweep_layout import SweepPaths


def read_sweeps(directories: Sequence[Path]) -> LossTable:
    """The runs of one or several sweep directories, as `isoflop sweep collect` left them.

    Raises:  TableError: a directory that isn't one, or has no runs.parquet yet.
    """
    parts = [_read_sweep(directory) for directory in directories]
    evals = [part.evals for part in parts if len(part.evals)]
    table = LossTable(
        runs=pd.concat([part.runs for part in parts], ignore_index=True),
        curves=parts[0].curves if len(parts) == 1 else _joined(parts),
        training=pd.concat([part.training for part in parts], ignore_index=True),
        warnings=tuple(message for part in parts for message in part.warnings),
        sources=tuple(str(directory) for directory in directories),
        evals=pd.concat(evals, ignore_index=True) if evals else pd.DataFrame(),
        understood=tuple(line for part in parts for line in part.understood),
    )
    return clean(only_finished(table))


def joined(tables: Mapping[str, LossTable]) -> LossTable:
    """The runs of several tables as one, each run's id behind its table's name where ids meet."""
    ids = [set(table.texts("run_id")) for table in tables.values()]
    if sum(map(len, ids)) > len(set().union(*ids)):
        tables = {name: renamed(table, f"{name} ") for name, table in tables.items()}
    parts = list(tables.values())
    return replace(
        parts[0],
        runs=pd.concat([part.runs for part in parts], ignore_index=True),
        curves=_joined(parts),
        training=pd.concat([part.training for part in parts], ignore_index=True),
        sources=tuple(source for part in parts for source in part.sources),
    )


def renamed(table: LossTable, prefix: str) -> LossTable:
    """The table with a prefix before each run's id."""
    runs, curves, training = (
        frame.assign(run_id=[f"{prefix}{name}" for name in frame["run_id"]])
        if len(frame)
        else frame
        for frame in (table.runs, table.curves, table.training)
    )
    return replace(table, runs=runs, curves=curves, training=training)


def read_file(path: Path, options: TableOptions = AS_IT_SAYS) -> LossTable:
    """Runs from a table file of any format that `analysis.data.reading.formats` reads.

    Two of n_params, n_tokens and flops must be there, and loss; the third follows from 6 N D.

    Raises:  TableError: no such file, unreadable, missing or unknown columns, suspect units, no
             usable row.
    """
    return from_cells(read_cells(path), str(path), options)


def from_frame(
    frame: pd.DataFrame,
    source: str,
    columns: Mapping[str, str] | None = None,
    curves: pd.DataFrame | None = None,
) -> LossTable:
    """Runs from a data frame in memory; see `read_file`. `curves` holds CURVE_COLUMNS, if known.

    Whoever made the frame knows its units, so they are not suspected.
    """
    return from_cells(Cells(frame), source, TableOptions(columns or {}), curves, known_units=True)


def from_cells(
    cells: Cells,
    source: str,
    options: TableOptions,
    curves: pd.DataFrame | None = None,
    *,
    known_units: bool = False,
) -> LossTable:
    """Runs from a table's cells; see `read_file`."""
    if len(cells.frame) == 0:
        raise TableError(f"{source} has no rows; expected one row a run")
    read = understand(cells, source, options)
    given = [name for name in (*QUANTITIES, "loss") if name in read.frame]
    frame, notes = completed(read.frame, read.headers, source), list(read.notes)
    name = "run_id" if "run_id" in frame else naming_column(list(map(str, frame)), frame)
    joined = join_rows(frame, name, "run_id" in frame)
    frame = frame.assign(run_id=joined.run)
    table = LossTable(runs=frame, curves=frame[list(CURVE_COLUMNS)].iloc[:0], sources=(source,))
    if "status" in frame:
        table = only_finished(table)
    table = _without_unreadable(table, given)
    if joined.curves:
        table, points = _ends_of_curves(table)
    else:
        points = table.curves if curves is None else curves
    table = _without_unfinished(table)
    table = replace(_with_budgets(table), curves=points.reset_index(drop=True))
    table = clean(table)
    doubt = "" if known_units else _doubt(table, given, read.with_units)
    if doubt:
        raise TableError(f"{source}: {doubt}")
    notes = [*([joined.note] if joined.note else []), *notes]
    understood = what_was_read(table, read, len(cells.frame))
    return replace(table.warned(*disagreement(table.runs)), understood=(understood, *notes))


def _doubt(table: LossTable, given: Sequence[str], known: frozenset[str]) -> str:
    """Why the units are doubtful; FLOPs count as evidence only where the table has its own."""
    used = [name for name in (*QUANTITIES, "loss") if name != "flops" or name in given]
    numbers = {name: table.numbers(name) for name in used}
    return suspicion({**numbers, "n_params_active": active_params(table.runs)}, known)


def _without_unreadable(table: LossTable, given: Sequence[str]) -> LossTable:
    """Exclude rows with a text where a number should be, which the reason quotes."""
    for name in given:
        values = table.runs[name].tolist()
        bad = np.array([isinstance(value, str) for value in values], dtype=bool)
        table = table.without(bad, [f"{name}={str(value)[:40]!r} is no number" for value in values])
    return table


def _ends_of_curves(table: LossTable) -> tuple[LossTable, pd.DataFrame]:
    """Each run's last row as the run, and all rows with a usable loss as its curve."""
    frame = table.runs
    order = [c for c in ("n_tokens", "step", "progress") if c in frame]
    frame = frame.assign(_row=np.arange(len(frame)))
    frame = frame.sort_values(["run_id", *order, "_row"], kind="stable").reset_index(drop=True)
    table = replace(table, runs=frame.drop(columns="_row"))
    again = np.asarray(frame[["run_id", *order]].duplicated(keep="last"))
    table = table.without(again, "a later row has the same run and tokens")
    losses = as_numbers(table.runs, "loss")
    points = table.runs[list(CURVE_COLUMNS)].iloc[
        np.flatnonzero(np.isfinite(losses) & (losses > 0))
    ]
    last = ~np.asarray(table.runs["run_id"].duplicated(keep="last"))
    runs = table.runs.iloc[np.flatnonzero(last)].reset_index(drop=True)
    lost = int((~(np.isfinite(losses) & (losses > 0))).sum())
    if lost:
        table = table.warned(f"{lost} points of training curves have no usable loss")
    return replace(table, runs=runs), points.astype({"n_tokens": float, "flops": float})


def _without_unfinished(table: LossTable) -> LossTable:
    """Exclude checkpoints: inside a decaying schedule the loss is not what the tokens buy."""
    short = unfinished(table.runs)
    portion = table.numbers("progress")
    return table.without(short, [f"a checkpoint at {p:.3g} of its schedule" for p in portion])


def _with_budgets(table: LossTable) -> LossTable:
    """The table with the column flops_budget: its own, or FLOPs that recur to every digit."""
    budget = table.numbers("flops_budget")
    if not np.isfinite(budget).any():
        budget = recurring_flops(table.numbers("flops"), table.numbers("n_params"))
    return replace(table, runs=table.runs.assign(flops_budget=budget))


def _joined(parts: Sequence[LossTable]) -> pd.DataFrame:
    return pd.concat([part.curves.astype({"run_id": str}) for part in parts], ignore_index=True)


def _read_sweep(directory: Path) -> LossTable:
    if not directory.is_dir():
        raise TableError(f"{directory} is not a directory; expected a sweep's results")
    paths = SweepPaths(directory)
    path = paths.table("runs")
    collect = f"run: isoflop sweep collect {directory}"
    if not path.exists():
        raise TableError(f"{path} is missing; {collect}")
    runs = read_cells(path).frame
    if len(runs) == 0:
        raise TableError(f"{path} has no rows; train the sweep first, then {collect}")
    records = paths.runs.glob("**/record.json")
    newest = max((record.stat().st_mtime for record in records), default=0.0)
    stale = newest > path.stat().st_mtime + 1
    curves_path, evals_path = paths.table("curves"), paths.table("evals")
    empty = pd.DataFrame({name: [] for name in CURVE_COLUMNS})
    asked = upgraded_frame(read_cells(evals_path).frame) if evals_path.exists() else pd.DataFrame()
    evals = trained_alone(asked)
    n_averaged = len(asked) - len(evals)
    notes = (f"{n_averaged:,} evaluations of averaged weights are not drawn",) if n_averaged else ()
    return LossTable(
        runs=runs,
        curves=_read_curves(curves_path) if curves_path.exists() else empty,
        training=training_curves(curves_path) if curves_path.exists() else pd.DataFrame(),
        warnings=(f"{path} is older than some of the sweep's runs; {collect}",) if stale else (),
        evals=evals,
        understood=notes,
    )


def _read_curves(path: Path) -> pd.DataFrame:
    """Validation losses along training; runs as categories, since there may be millions of rows."""
    try:
        points = pq.read_table(
            path,
            columns=list(CURVE_COLUMNS),
            read_dictionary=["run_id"],
            filters=[("loss", ">", 0.0), ("loss", "<", float("inf"))],
        )
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{path} can't be read ({error}); collect the sweep again") from error
    # Column by column, each freed as it is converted: halves the peak for long sweeps.
    return points.to_pandas(split_blocks=True, self_destruct=True)
