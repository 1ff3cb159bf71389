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
from train.config.run_config import RunConfig
from train.config.spec import IsoflopError
from train.rundir.atomic import read_jsonl
from train.rundir.record import RunPaths, RunRecord, read_job
from train.rundir.record_fields import job_columns
from train.rundir.sweep_layout import SweepPaths, planned_run_dirs, run_dirs, run_id_of
from train.rundir.tables import (
    ARROW_TYPES,
    fitting_rows,
    kinds_of,
    misfits_of,
    write_table,
)

BATCH_RUNS = 200
"""Runs whose curves are in memory at once."""

CURVES = pa.schema(
    [
        ("run_id", pa.string()),
        ("step", pa.int64()),
        ("n_tokens", pa.int64()),
        ("flops", pa.float64()),
        ("train_loss", pa.float64()),
        ("loss", pa.float64()),
        ("lr", pa.float64()),
        ("train/loss_spikes", pa.int64()),
        ("optim/grad_norm", pa.float64()),
        ("optim/weight_norm", pa.float64()),
        ("throughput/tokens_per_second", pa.float64()),
        ("throughput/mfu", pa.float64()),
        ("throughput/peak_memory_bytes", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Collected:
    """What was gathered: rows of each table, what could not be read, with its reason, and what was
    left out on purpose.
    """

    n_rows: dict[str, int]
    by_status: dict[str, int]
    problems: list[str]
    notes: list[str] = dataclasses.field(default_factory=list)


def collect(root: Path) -> Collected:
    """Write the three tables of a sweep; a run without a record is a row without a loss.

    Runs of no plan, which an earlier grid left, are rows where they are done and none otherwise:
    nobody waits for them, and they are no gaps in the grid.
    Raises:  IsoflopError: no sweep there, or its directory can't be written.
    """
    paths, problems = SweepPaths(root), []
    directories, notes = _wanted(root)
    rows = [row for path in directories if (row := _run_row(root, path, problems)) is not None]
    schema = _run_schema(rows)
    rows = fitting_rows(rows, schema, lambda row: f"{row['dir']}: record.json", problems)
    counts = {"runs": write_table(paths.table("runs"), schema, [rows])}
    counts["curves"] = write_table(paths.table("curves"), CURVES, _curves(directories, problems))
    counts["evals"] = write_evals(paths.table("evals"), directories, problems)
    by_status: dict[str, int] = {}
    for row in rows:
        by_status[row["status"]] = by_status.get(row["status"], 0) + 1
    return Collected(counts, by_status, problems, notes)


def _wanted(root: Path) -> tuple[list[Path], list[str]]:
    """The run directories that are gathered, and what is to be said of runs of no plan."""
    planned = set(planned_run_dirs(root))
    unplanned = [path for path in run_dirs(root) if path not in planned]
    ghosts = {path for path in unplanned if not RunPaths(path).record.exists()}
    notes = []
    if unplanned:
        notes.append(
            f"{len(unplanned)} runs are in no plan, left by an earlier grid: "
            f"{len(unplanned) - len(ghosts)} done ones are in the tables, {len(ghosts)} others are "
            f"not (isoflop sweep clean what=unplanned deletes them)"
        )
    return [path for path in run_dirs(root) if path not in ghosts], notes


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


def _unfinished(run_dir: Path, job: RunConfig) -> dict[str, Any]:
    """What is known of a run before its record: its job's columns, its status, and no results."""
    state = read_state(run_dir)
    known = job_columns(job, job.spec.n_steps or 0)
    known |= {"status": state.status, "message": state.note, "losses": {}, "epochs": {}}
    absent = dict.fromkeys(f.name for f in dataclasses.fields(RunRecord))
    return {**absent, **known, "checkpoint": "checkpoint"}


def _kind(hint: Any) -> type:
    """The plain type that a field's type is, or may be beside None."""
    return next(t for t in ARROW_TYPES if t is hint or t in getattr(hint, "__args__", ()))


def _run_schema(rows: list[dict[str, Any]]) -> pa.Schema:
    """Columns of RunRecord, then the losses and epochs of all parts, then `dir`."""
    hints = get_type_hints(RunRecord)
    columns: dict[str, Any] = {
        name: ARROW_TYPES[_kind(hint)]
        for name, hint in hints.items()
        if name not in ("losses", "epochs")
    }
    extra = dict.fromkeys(key for row in rows for key in row if key not in columns and key != "dir")
    columns |= dict.fromkeys(sorted(extra), pa.float64())
    return pa.schema([*columns.items(), ("dir", pa.string())])


def _curves(directories: list[Path], problems: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Rows of metrics.jsonl, a few hundred runs at a time; a value that fits no column is empty."""
    batch: list[dict[str, Any]] = []
    kinds = kinds_of(CURVES)
    for number, run_dir in enumerate(directories, 1):
        run_id = run_id_of(run_dir)
        misfits: list[str] = []
        for row in read_jsonl(RunPaths(run_dir).metrics):
            kept = {"run_id": run_id, **{name: row.get(name) for name in CURVES.names[1:]}}
            found = misfits_of(kept, kinds)
            misfits += [f"{name}={kept[name]!r:.40}" for name in found]
            batch.append(kept | dict.fromkeys(found))
        if misfits:
            count = f"{len(misfits)} values fit no column and are left empty"
            problems.append(f"{run_dir.name}: metrics.jsonl: {count}: {', '.join(misfits[:3])}")
        if number % BATCH_RUNS == 0:
            yield batch
            batch = []
    yield batch
