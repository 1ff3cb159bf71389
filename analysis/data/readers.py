"""Where tables of runs come from: sweep directories, csv or parquet files, frames in memory."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.data.loss_table import (
    CURVE_COLUMNS,
    LossTable,
    TableError,
    as_numbers,
    clean,
    only_finished,
)

_QUANTITIES = ("n_params", "n_tokens", "flops")


def read_sweeps(directories: Sequence[Path]) -> LossTable:
    """The runs of one or several sweep directories, as `isoflop sweep collect` left them.

    Raises:  TableError: a directory that isn't one, or has no runs.parquet yet.
    """
    parts = [_read_sweep(directory) for directory in directories]
    evals = [part.evals for part in parts if len(part.evals)]
    table = LossTable(
        runs=pd.concat([part.runs for part in parts], ignore_index=True),
        curves=parts[0].curves if len(parts) == 1 else _joined(parts),
        warnings=tuple(message for part in parts for message in part.warnings),
        sources=tuple(str(directory) for directory in directories),
        evals=pd.concat(evals, ignore_index=True) if evals else pd.DataFrame(),
    )
    return clean(only_finished(table))


def read_file(path: Path, columns: Mapping[str, str] | None = None) -> LossTable:
    """Runs from a csv, tsv or parquet file; `columns` maps the design's names to the file's.

    Two of n_params, n_tokens and flops must be there, and loss; the third follows from 6 N D. A
    file that names the same run on several rows holds training curves: each run's last row is the
    run.

    Raises:  TableError: no such file, unreadable, missing or unknown columns, no usable row.
    """
    return from_frame(_read_frame(path), str(path), columns)


def from_frame(
    frame: pd.DataFrame,
    source: str,
    columns: Mapping[str, str] | None = None,
    curves: pd.DataFrame | None = None,
) -> LossTable:
    """Runs from a data frame in memory; see `read_file`. `curves` holds CURVE_COLUMNS, if known."""
    frame = _completed(_renamed(frame, columns or {}, source), source)
    named = next((name for name in ("run_id", "run", "name") if name in frame), None)
    rows = [f"row {i + 1}" for i in range(len(frame))]
    frame["run_id"] = rows if named is None else frame[named].astype(str)
    points = frame[list(CURVE_COLUMNS)].iloc[:0] if curves is None else curves
    if _holds_curves(frame):
        frame = frame.sort_values(["run_id", "n_tokens"], kind="stable")
        losses = as_numbers(frame, "loss")
        points = frame[list(CURVE_COLUMNS)].iloc[np.flatnonzero(np.isfinite(losses) & (losses > 0))]
        frame = frame.drop_duplicates("run_id", keep="last")
    if "flops_budget" not in frame:
        frame["flops_budget"] = np.nan
    table = LossTable(
        runs=frame.reset_index(drop=True),
        curves=points.reset_index(drop=True),
        warnings=_disagreement(frame),
        sources=(source,),
    )
    return clean(only_finished(table) if "status" in frame else table)


def _joined(parts: Sequence[LossTable]) -> pd.DataFrame:
    return pd.concat([part.curves.astype({"run_id": str}) for part in parts], ignore_index=True)


def _read_sweep(directory: Path) -> LossTable:
    if not directory.is_dir():
        raise TableError(f"{directory} is not a directory; expected a sweep's results")
    path = directory / "runs.parquet"
    collect = f"run: isoflop sweep collect {directory}"
    if not path.exists():
        raise TableError(f"{path} is missing; {collect}")
    runs = _read_frame(path)
    if len(runs) == 0:
        raise TableError(f"{path} has no rows; train the sweep first, then {collect}")
    records = (directory / "runs").glob("**/record.json")
    newest = max((record.stat().st_mtime for record in records), default=0.0)
    stale = newest > path.stat().st_mtime + 1
    curves_path, evals_path = directory / "curves.parquet", directory / "evals.parquet"
    empty = pd.DataFrame({name: [] for name in CURVE_COLUMNS})
    return LossTable(
        runs=runs,
        curves=_read_curves(curves_path) if curves_path.exists() else empty,
        warnings=(f"{path} is older than some of the sweep's runs; {collect}",) if stale else (),
        evals=_read_frame(evals_path) if evals_path.exists() else pd.DataFrame(),
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


def _read_frame(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise TableError(f"{path} is not a file; expected a csv or parquet file of runs")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise TableError(
            f"{path} can't be read as a table ({reason}); expected csv or parquet"
        ) from error


def _renamed(frame: pd.DataFrame, columns: Mapping[str, str], source: str) -> pd.DataFrame:
    present = [str(column) for column in frame.columns]
    for name, theirs in columns.items():
        if theirs not in present:
            near = difflib.get_close_matches(theirs, present, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ";"
            raise TableError(
                f"{source} has no column {theirs!r}, asked for as {name}{hint} "
                f"it has: {', '.join(present)}"
            )
    replaced = [name for name, theirs in columns.items() if name in present and theirs != name]
    return frame.drop(columns=replaced).rename(columns={v: k for k, v in columns.items()})


def _completed(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame with all of n_params, n_tokens and flops as floats, the missing one from 6 N D."""
    given = [name for name in _QUANTITIES if name in frame]
    if len(given) < 2 or "loss" not in frame:
        missing = [name for name in ("n_params", "n_tokens", "loss") if name not in frame]
        raise TableError(
            f"{source} has no column {', '.join(missing)}; it has: "
            f"{', '.join(map(str, frame.columns))}. Name it: "
            f'table.columns={{{missing[0]}: "their name"}}'
        )
    if len(frame) == 0:
        raise TableError(f"{source} has no rows; expected one row a run")
    n, d, c = (as_numbers(frame, name) for name in _QUANTITIES)
    with np.errstate(divide="ignore", invalid="ignore"):
        full = {
            "n_params": n if "n_params" in given else c / (6 * d),
            "n_tokens": d if "n_tokens" in given else c / (6 * n),
            "flops": c if "flops" in given else 6 * n * d,
        }
    return frame.assign(**full)


def _disagreement(frame: pd.DataFrame) -> tuple[str, ...]:
    """A warning where FLOPs and 6 N D differ by more than a factor of three."""
    n, d, c = (as_numbers(frame, name) for name in _QUANTITIES)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = c / (6 * n * d)
    off = (ratio > 3) | (ratio < 1 / 3)
    if not off.any():
        return ()
    return (
        f"{int(off.sum())} of {len(frame)} runs have FLOPs more than 3 times off 6 N D (median "
        f"ratio {np.median(ratio[off]):.3g}); check the units of n_params, n_tokens and flops",
    )


def _holds_curves(frame: pd.DataFrame) -> bool:
    """Whether runs recur along training: most names several times, at different token counts."""
    repeated = np.asarray(frame["run_id"].duplicated(keep=False))
    if repeated.mean() < 0.5:
        return False
    return not frame[["run_id", "n_tokens"]].duplicated().any()
