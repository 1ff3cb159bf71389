"""evals.parquet: its columns, the rows that run directories give, and rows of earlier releases.

Earlier releases wrote parts of a measurement into names: task `addition-3-uniform_length`, metrics
`exact_match@1000` and `token_accuracy_3`. Whoever reads evaluations gets columns, by way of
`upgraded` or `upgraded_frame`, of any release.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from train.config.spec import IsoflopError
from train.rundir.atomic import RecordError, read_json, read_jsonl
from train.rundir.record import RunPaths, RunRecord, read_record
from train.rundir.tables import fitting_rows, write_table

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("step", pa.int64()),
        ("n_params", pa.int64()),
        ("n_tokens", pa.int64()),
        ("flops", pa.float64()),
        ("loss", pa.float64()),
        ("task", pa.string()),
        ("operands", pa.string()),
        ("format", pa.string()),
        ("n_shots", pa.int64()),
        ("split", pa.string()),
        ("target_length", pa.int64()),
        ("position", pa.int64()),
        ("n_first", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("n_items", pa.int64()),
        ("chance", pa.float64()),
        ("stderr", pa.float64()),
        ("weights", pa.string()),
    ]
)
"""`operands` says how operands are drawn, "" for a task without any. Null in `target_length` means
every length, in `position` the whole answer, in `n_first` every item rather than the first n drawn,
in `chance` that none is known (see `eval.metrics.chance`). `stderr` is the standard error that
lm-evaluation-harness reports, null elsewhere. `weights` is trained, or ema for the average over the
last part of a run, which stands beside the last checkpoint and is no further point of it.
"""

PARTS = ("target_length", "position", "n_first")
"""Columns that are null where a value is of the whole answer to every item."""

DEFAULT_OPERANDS = "uniform_value"
_OPERANDS = re.compile(r"-(uniform_length|exact_length)(?=-|$)")
_SIZED = re.compile(r"(addition|subtraction|multiplication|three_operand|modular)-\d")
_FIRST, _POSITION = re.compile(r"(exact_match)@(\d+)"), re.compile(r"(token_accuracy)_(\d+)")


def structured(task: str, metric: str) -> dict[str, Any]:
    """The columns that earlier releases wrote into the names of a task and a metric."""
    named = _OPERANDS.search(task)
    default = DEFAULT_OPERANDS if _SIZED.match(task) else ""
    first, position = _FIRST.fullmatch(metric), _POSITION.fullmatch(metric)
    return {
        "task": _OPERANDS.sub("", task),
        "operands": named[1] if named else default,
        "position": int(position[2]) if position else None,
        "n_first": int(first[2]) if first else None,
        "metric": next((m[1] for m in (first, position) if m), metric),
    }


def upgraded(row: dict[str, Any]) -> dict[str, Any]:
    """A stored row with today's columns."""
    return row if "n_first" in row else row | structured(row["task"], row["metric"])


def upgraded_frame(evals: "pd.DataFrame") -> "pd.DataFrame":
    """A table of evaluations with today's columns."""
    if "n_first" in evals or not len(evals):
        return evals
    rows = [structured(t, m) for t, m in zip(evals["task"], evals["metric"], strict=True)]
    return evals.assign(**{name: [row[name] for row in rows] for name in rows[0]}).astype(
        {"position": float, "n_first": float}
    )


def rows(run_dir: Path) -> list[dict[str, Any]]:
    """The rows of evals.parquet that one run directory gives, with the run's own columns.

    For an intermediate checkpoint n_tokens and flops are those of its step, and loss is None unless
    validation ran at that very step. Averaged weights have the loss that they were validated at.
    Raises:  RecordError: an unreadable record or summary.
    """
    evals = RunPaths(run_dir).evals
    record = read_record(run_dir) if evals.is_dir() else None
    if record is None:
        return []
    logged = read_jsonl(RunPaths(run_dir).metrics)
    curve = {row["step"]: row for row in logged if isinstance(row.get("step"), int)}
    found = []
    for path in [
        p for name in ("", "step-*/", "ema/") for p in sorted(evals.glob(f"{name}*.json"))
    ]:
        content = read_json(path)
        if not _is_summary(content):
            raise RecordError(
                f"{path} is no summary of an evaluation; evaluate with overwrite=true"
            )
        step = content.get("step") or record.n_steps
        final = step == record.n_steps
        share = step / record.n_steps
        averaged = path.parent.name == "ema"
        of_run = {
            "run_id": record.run_id,
            "step": step,
            "n_params": record.n_params,
            "n_tokens": record.n_tokens if final else round(record.n_tokens * share),
            "flops": record.flops if final else record.flops * share,
            "loss": _loss(record, averaged) if final else curve.get(step, {}).get("loss"),
            "weights": "ema" if averaged else "trained",
            "chance": None,  # rows of earlier releases have none
        }
        found += [of_run | upgraded(row) for row in content.get("rows", [])]
    return found


def _loss(record: RunRecord, averaged: bool) -> float | None:
    return record.loss_ema if averaged else record.loss


def trained_alone(evals: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of weights as they were trained; tables of earlier releases have no others."""
    return evals.loc[evals["weights"] != "ema"] if "weights" in evals else evals


def _is_summary(content: Any) -> bool:
    """Whether a file holds what an evaluation writes, as far as its rows need it."""
    if not isinstance(content, dict) or not isinstance(content.get("rows", []), list):
        return False
    whole = isinstance(content.get("step") or 0, int)
    named = all(
        isinstance(row, dict) and {"task", "metric"} <= row.keys()
        for row in content.get("rows", [])
    )
    return whole and named


def write_evals(path: Path, run_dirs: Sequence[Path], problems: list[str]) -> int:
    """Write a sweep's evals.parquet; returns its rows, and names in `problems` what is unreadable.

    Raises:  RecordError: the file can't be written.
    """

    def batches() -> Iterator[list[dict[str, Any]]]:
        for run_dir in run_dirs:
            try:
                where = f"evaluations of {run_dir.name}"
                yield fitting_rows(rows(run_dir), SCHEMA, lambda _, where=where: where, problems)
            except IsoflopError as error:
                problems.append(f"evaluations of {run_dir.name}: {error}")

    return write_table(path, SCHEMA, batches())
