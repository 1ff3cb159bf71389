"""What `eval` prints at its end: the main metrics of each task, by size of model."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.parquet as pq
from rich.table import Table

from eval.evals_table import DEFAULT_OPERANDS, PARTS

SHOWN = (
    "exact_match",
    "majority_match",
    "answer_probability",
    "token_edit_distance",
    "multiple_choice_grade",
    "choice_probability",
    "bits_per_byte",
    "acc",
    "acc_norm",
    "perplexity",
    "f1",
)
"""Metrics of the table, sharp before smooth; evals.parquet has the others."""

_KEYS = ("task", "operands", "format", "n_shots", "split")

_AVERAGED = "averaged weights"
"""How a line of `optim.ema_fraction`'s weights is told from that of the last checkpoint."""


def sweep_scores(evals: Path) -> Table:
    """The table of a sweep's evals.parquet, final checkpoints alone."""
    columns = ["run_id", "step", "n_params", *_KEYS, *PARTS, "metric", "value", "weights"]
    rows = pq.read_table(evals, columns=columns, filters=[("metric", "in", SHOWN)]).to_pylist()
    last: dict[str, int] = {}
    for row in rows:
        last[row["run_id"]] = max(last.get(row["run_id"], 0), row["step"])
    return scores(row for row in rows if row["step"] == last[row["run_id"]])


def scores(rows: Iterable[Mapping[str, Any]]) -> Table:
    """One line per task, split and model size: how many checkpoints, and each metric's mean."""
    groups: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for row in rows:
        if row["metric"] in SHOWN and all(row[part] is None for part in PARTS):
            averaged = row.get("weights") == "ema"
            key = (*(row[name] for name in _KEYS), row.get("n_params") or 0, averaged)
            groups.setdefault(key, {}).setdefault(row["metric"], []).append(row["value"])
    metrics = [name for name in SHOWN if any(name in found for found in groups.values())]
    table = Table("task", "split", "N", "checkpoints", *metrics, box=None)
    for (task, operands, form, shots, split, n_params, averaged), found in sorted(groups.items()):
        parts = [task, form, "" if operands == DEFAULT_OPERANDS else operands]
        parts += [f"{shots} shots" if shots else "", _AVERAGED if averaged else ""]
        table.add_row(
            ", ".join(part for part in parts if part),
            split,
            f"{n_params:,}" if n_params else "-",
            str(max(map(len, found.values()))),
            *(f"{fmean(found[name]):.3g}" if name in found else "-" for name in metrics),
        )
    return table
