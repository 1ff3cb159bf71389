"""Run directories to runs.parquet, curves.parquet and evals.parquet, rebuilt whole every time."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from sweeps.directory.layout import SweepPaths, planned_run_dirs, run_dirs, run_id_of
from sweeps.directory.record_check import checked_record
from sweeps.directory.run_state import read_state
from train.config.flops import count_params, flops_per_token
from train.config.run_config import RunJob
from train.config.spec import IsoflopError
from train.config.wsd_branching import trunk_id
from train.rundir.atomic import read_jsonl
from train.rundir.record import RunPaths, RunRecord, read_job

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

EVALS = pa.schema(
    [
        ("run_id", pa.string()),
        ("step", pa.int64()),
        ("n_params", pa.int64()),
        ("n_tokens", pa.int64()),
        ("flops", pa.float64()),
        ("loss", pa.float64()),
        ("task", pa.string()),
        ("format", pa.string()),
        ("n_shots", pa.int64()),
        ("split", pa.string()),
        ("target_length", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("n_items", pa.int64()),
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
    rows = _fitting(rows, schema, lambda row: f"{row['dir']}: record.json", problems)
    counts = {"runs": _write(paths.table("runs"), schema, [rows])}
    counts["curves"] = _write(paths.table("curves"), CURVES, _curves(directories, problems))
    counts["evals"] = _write(paths.table("evals"), EVALS, _evals(directories, problems))
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


def _unfinished(run_dir: Path, job: RunJob) -> dict[str, Any]:
    state, spec = read_state(run_dir), job.spec
    counts, model = count_params(spec.model), spec.model
    batch, steps = spec.optim.batch_tokens or 0, spec.n_steps or 0
    known = {
        "run_id": job.run_id,
        "name": job.name,
        "sweep": job.sweep,
        "grid": job.grid,
        "status": state.status,
        "message": state.note,
        "data": "+".join(sorted(spec.data.parts)),
        "data_fingerprint": spec.data.fingerprint,
        "seed": spec.seed,
        **{name: getattr(model, name) for name in ("family", "d_model", "n_layers", "n_heads")},
        **{name: getattr(model, name) for name in ("d_ff", "vocab_size", "seq_len")},
        **{
            name: getattr(counts, name)
            for name in ("n_params", "n_params_total", "n_params_non_embedding")
        },
        "n_tokens": batch * steps,
        "tokens_per_param": batch * steps / counts.n_params,
        "n_steps": steps,
        "batch_tokens": batch,
        "lr_peak": spec.optim.lr_peak,
        "flops": float(batch * steps * flops_per_token(model)),
        "flops_budget": job.flops_budget,
        "schedule": spec.schedule.name,
        "trunk_id": trunk_id(spec),
        "precision": spec.precision,
        "losses": {},
        "epochs": {},
        "checkpoint": "checkpoint",
    }
    return {**dict.fromkeys(f.name for f in dataclasses.fields(RunRecord)), **known}


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


def _curves(directories: list[Path], problems: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Rows of metrics.jsonl, a few hundred runs at a time; a value that fits no column is empty."""
    batch: list[dict[str, Any]] = []
    kinds = _kinds(CURVES)
    for number, run_dir in enumerate(directories, 1):
        run_id = run_id_of(run_dir)
        misfits: list[str] = []
        for row in read_jsonl(RunPaths(run_dir).metrics):
            kept = {"run_id": run_id, **{name: row.get(name) for name in CURVES.names[1:]}}
            found = _misfits(kept, kinds)
            misfits += [f"{name}={kept[name]!r:.40}" for name in found]
            batch.append(kept | dict.fromkeys(found))
        if misfits:
            count = f"{len(misfits)} values fit no column and are left empty"
            problems.append(f"{run_dir.name}: metrics.jsonl: {count}: {', '.join(misfits[:3])}")
        if number % BATCH_RUNS == 0:
            yield batch
            batch = []
    yield batch


def _kinds(schema: pa.Schema) -> dict[str, type]:
    """Column -> int, float or str."""
    python = {arrow: kind for kind, arrow in _TYPES.items()}
    return {field.name: python[field.type] for field in schema}


def _misfits(row: dict[str, Any], kinds: dict[str, type]) -> list[str]:
    """The columns of a row whose value is not of the column's kind, or beyond its range."""
    return [name for name, value in row.items() if not _fits(value, kinds[name])]


def _fits(value: Any, kind: type) -> bool:
    # The usual types first: this is asked of every point of every curve.
    if value is None or (type(value) is kind and kind is not int):
        return True  # NaN and infinity are floats too
    if not isinstance(value, int | float) or isinstance(value, bool) or kind is str:
        return False
    if kind is int:
        return -(2**63) <= value < 2**63 and value % 1 == 0
    return abs(value) <= sys.float_info.max


def _fitting(
    rows: list[dict[str, Any]], schema: pa.Schema, where: Callable[[dict], str], problems: list[str]
) -> list[dict[str, Any]]:
    """The rows that can stand in their table; each of the others is counted with its reason."""
    kinds, kept = _kinds(schema), []
    for row in rows:
        found = _misfits(row, kinds)
        if found:
            values = ", ".join(f"{name}={row[name]!r:.40}" for name in found)
            problems.append(f"{where(row)}: {values} fits no column; the row is left out")
        else:
            kept.append(row)
    return kept


def _evals(directories: list[Path], problems: list[str]) -> Iterator[list[dict[str, Any]]]:
    """The evaluation rows of every run that has been evaluated, as `eval` wrote them."""
    evaluated = [run_dir for run_dir in directories if RunPaths(run_dir).evals.is_dir()]
    if not evaluated:
        return
    from eval.evaluate import rows

    for run_dir in evaluated:
        try:
            where = f"evaluations of {run_dir.name}"
            yield _fitting(rows(run_dir), EVALS, lambda _, where=where: where, problems)
        except IsoflopError as error:
            problems.append(f"evaluations of {run_dir.name}: {error}")


def _write(path: Path, schema: pa.Schema, batches: Iterable[list[dict[str, Any]]]) -> int:
    """Write row batches as one parquet file that replaces the old one whole; returns the rows."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    n_rows = 0
    try:
        with pq.ParquetWriter(temporary, schema) as writer:
            for batch in batches:
                if batch:
                    writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                    n_rows += len(batch)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise IsoflopError(f"can't write {path}: {error.strerror or error}") from error
    return n_rows
