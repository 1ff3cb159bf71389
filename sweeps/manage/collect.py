"""Run directories to runs.parquet, curves.parquet and evals.parquet, rebuilt whole every time."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pyarrow as pa

from eval.evals_table import write_evals
from sweeps.directory.record_check import checked_record
from sweeps.directory.run_state import read_state
from train.config.run_config import RunJob
from train.config.spec import IsoflopError
from train.rundir.atomic import read_jsonl
from train.rundir.record import RunPaths, RunRecord, read_job
from train.rundir.record_fields import job_columns
from train.rundir.sweep_layout import SweepPaths, run_dirs, run_id_of
from train.rundir.tables import write_table

BATCH_RUNS = 200
"""Runs whose curves are in memory at once."""

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}

CURVES = pa.schema(
    [
        ("run_id", pa.string()),
        ("step", pa.int64()),
        ("n_tokens", pa.int64()),
        ("flops", pa.float64()),
        ("train_loss", pa.float64()),
        ("loss", pa.float64()),
        ("lr", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Collected:
    """What was gathered: rows of each table, and what could not be read, with its reason."""

    n_rows: dict[str, int]
    by_status: dict[str, int]
    problems: list[str]


def collect(root: Path) -> Collected:
    """Write the three tables of a sweep; a run without a record is a row without a loss.

    Raises:  IsoflopError: no sweep there, or its directory can't be written.
    """
    paths, directories = SweepPaths(root), run_dirs(root)
    problems: list[str] = []
    rows = [row for path in directories if (row := _run_row(root, path, problems)) is not None]
    counts = {"runs": write_table(paths.table("runs"), _run_schema(rows), [rows])}
    counts["curves"] = write_table(paths.table("curves"), CURVES, _curves(directories))
    counts["evals"] = write_evals(paths.table("evals"), directories, problems)
    by_status: dict[str, int] = {}
    for row in rows:
        by_status[row["status"]] = by_status.get(row["status"], 0) + 1
    return Collected(counts, by_status, problems)


def _run_row(root: Path, run_dir: Path, problems: list[str]) -> dict[str, Any] | None:
    """The record of a run as a flat row, or what its spec and state say where it has none."""
    try:
        record = checked_record(run_dir)
        row = dataclasses.asdict(record) if record else _unfinished(run_dir, read_job(run_dir))
    except IsoflopError as error:
        problems.append(f"{run_dir.name}: {error}")
        return None
    for name, prefix in (("losses", "loss"), ("epochs", "epochs")):
        row |= {f"{prefix}_{part}": value for part, value in row.pop(name).items()}
    home = run_dir.relative_to(root)
    return {**row, "dir": str(home), "checkpoint": str(home / row["checkpoint"])}


def _unfinished(run_dir: Path, job: RunJob) -> dict[str, Any]:
    """What is known of a run before its record: its job's columns, its status, and no results."""
    state = read_state(run_dir)
    known = job_columns(job, job.spec.n_steps or 0)
    known |= {"status": state.status, "message": state.note, "losses": {}, "epochs": {}}
    absent = dict.fromkeys(f.name for f in dataclasses.fields(RunRecord))
    return {**absent, **known, "checkpoint": "checkpoint"}


def _run_schema(rows: list[dict[str, Any]]) -> pa.Schema:
    """Columns of RunRecord, then the losses and epochs of whatever parts there are, then `dir`."""
    hints = get_type_hints(RunRecord)
    columns: dict[str, Any] = {
        name: _TYPES[next(t for t in _TYPES if t is hint or t in getattr(hint, "__args__", ()))]
        for name, hint in hints.items()
        if name not in ("losses", "epochs")
    }
    extra = dict.fromkeys(key for row in rows for key in row if key not in columns and key != "dir")
    columns |= dict.fromkeys(sorted(extra), pa.float64())
    return pa.schema([*columns.items(), ("dir", pa.string())])


def _curves(directories: list[Path]) -> Iterator[list[dict[str, Any]]]:
    """Rows of metrics.jsonl, a few hundred runs at a time."""
    batch: list[dict[str, Any]] = []
    for number, run_dir in enumerate(directories, 1):
        run_id = run_id_of(run_dir)
        for row in read_jsonl(RunPaths(run_dir).metrics):
            batch.append({"run_id": run_id, **{k: _number(row.get(k)) for k in CURVES.names[1:]}})
        if number % BATCH_RUNS == 0:
            yield batch
            batch = []
    yield batch


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
