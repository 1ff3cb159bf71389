"""What the report tells of each run on hovering it: its facts and its training curve."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.loss_table import LossTable, as_numbers
from analysis.format import count_label, number
from analysis.report.document import TableSpec

MOST_RUNS, MOST_CURVES, CURVE_POINTS = 10_000, 300, 40
"""Runs and curves that one page holds, and points of a curve; they bound the page at a few MB."""

Form = Callable[[float], str]


def _plain(value: float) -> str:
    return number(value)


def _loss(value: float) -> str:
    return number(value, 5)


FACTS: dict[str, Form | None] = {
    "sweep": None,
    "grid": None,
    "recipe": None,
    "data": None,
    "simulated": None,
    "seed": _plain,
    "shape": None,
    "n_params": count_label,
    "n_tokens": count_label,
    "tokens_per_param": _plain,
    "flops": _plain,
    "flops_budget": _plain,
    "family": None,
    "seq_len": _plain,
    "batch_tokens": _plain,
    "n_steps": _plain,
    "schedule": None,
    "lr_peak": _plain,
    "weight_decay": _plain,
    "warmup_tokens": count_label,
    "optimizer": None,
    "loss": _loss,
    "bits_per_byte": lambda value: number(value, 4),
    "train_loss": _loss,
    "loss_spikes": _plain,
    "precision": None,
    "device": None,
    "wall_seconds": _plain,
    "tokens_per_second": _plain,
}
"""Columns of a run that the page knows, and how the numeric ones are written."""

IN_TABLE = (
    "fitted", "sweep", "grid", "recipe", "simulated", "seed", "shape", "n_params", "n_tokens",
    "flops", "optimizer", "lr_peak", "batch_tokens", "weight_decay", "loss",
    "bits_per_byte", "loss_spikes", "wall_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class RunTable:
    """Runs by row: `cells` under `columns`, and for some a curve, (flops, loss), by run_id."""

    columns: tuple[str, ...]
    run_ids: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    curves: Mapping[str, tuple[list[float], list[float]]]
    n_runs: int


def build_run_table(table: LossTable, used: set[str]) -> RunTable:
    """The facts of every run of a table, those that fits `used` first; at most MOST_RUNS."""
    names = table.texts("run_id")
    order = np.argsort([name not in used for name in names], kind="stable")[:MOST_RUNS]
    frame = table.runs.iloc[order].reset_index(drop=True)
    run_ids = [str(name) for name in names[order]]
    texts = {
        "run": [str(name) for name in table.texts("name")[order]] if "name" in frame else run_ids,
        "fitted": ["yes" if name in used else "no" for name in run_ids],
    }
    for name, form in FACTS.items():
        column = _shapes(frame) if name == "shape" else _texts(frame, name, form)
        if any(column):
            texts[name] = column
    texts["run_id"] = run_ids
    curves = _curves(table, _chosen(run_ids, used))
    cells = tuple(zip(*texts.values(), strict=True))
    return RunTable(tuple(texts), tuple(run_ids), cells, curves, len(table))


def run_table(book: RunTable) -> TableSpec:
    """The runs with the most asked-for of their columns, where their values differ; the others
    show in each run's panel.
    """
    shown = [
        i
        for i, name in enumerate(book.columns)
        if name == "run" or (name in IN_TABLE and len({cells[i] for cells in book.cells}) > 1)
    ]
    rows = [[cells[i] for i in shown] for cells in book.cells]
    title = f"Runs ({len(rows):,} of {book.n_runs:,})"
    columns = [book.columns[i] for i in shown]
    return TableSpec(title, columns, rows, sortable=True, run_ids=book.run_ids)


def limits(book: RunTable) -> list[str]:
    """What the page leaves out of its runs, in words."""
    said = []
    if len(book.cells) < book.n_runs:
        said.append(
            f"{book.n_runs - len(book.cells):,} more runs are not on this page: their points "
            f"carry no name; runs.parquet has them all."
        )
    if len(book.curves) < len(book.cells):
        said.append(
            f"Training curves of {len(book.curves):,} of the {len(book.cells):,} runs are on this "
            f"page, evenly chosen, those that were fitted first."
        )
    return said


def _texts(frame: pd.DataFrame, name: str, form: Form | None) -> list[str]:
    if name not in frame:
        return []
    if form is None:
        return ["" if pd.isna(value) else str(value) for value in frame[name].tolist()]
    return [form(v) if np.isfinite(v) else "" for v in as_numbers(frame, name).tolist()]


def _shapes(frame: pd.DataFrame) -> list[str]:
    """Layers x width x heads, where the table has them."""
    if not {"n_layers", "d_model", "n_heads"} <= set(frame):
        return []
    parts = [as_numbers(frame, name).tolist() for name in ("n_layers", "d_model", "n_heads")]
    return [
        "×".join(f"{v:.0f}" for v in row) if np.isfinite(row).all() else ""
        for row in zip(*parts, strict=True)
    ]


def _chosen(run_ids: list[str], used: set[str]) -> list[str]:
    """At most MOST_CURVES runs, evenly among those fitted, then, where there is room, of the
    others.
    """
    fitted, others = ([n for n in run_ids if (n in used) is own] for own in (True, False))
    first = fitted[:: -(-len(fitted) // MOST_CURVES) or 1]
    return (first + others[: MOST_CURVES - len(first)])[:MOST_CURVES]


def _curves(table: LossTable, run_ids: list[str]) -> dict[str, tuple[list[float], list[float]]]:
    """Losses against FLOPs along training, CURVE_POINTS of them at most."""
    if not len(table.curves):
        return {}
    own = np.flatnonzero(table.curves["run_id"].isin(run_ids))
    flops, loss = (as_numbers(table.curves, name)[own] for name in ("flops", "loss"))
    codes, names = pd.factorize(table.curves["run_id"].iloc[own])
    in_order = np.lexsort((flops, codes))
    found = {}
    of_runs = np.split(in_order, np.cumsum(np.bincount(codes))[:-1])
    for name, rows in zip(names, of_runs, strict=False):
        kept = rows[np.unique(np.linspace(0, len(rows) - 1, CURVE_POINTS).astype(int))]
        found[str(name)] = ([_short(v) for v in flops[kept]], [_short(v) for v in loss[kept]])
    return found


def _short(value: float) -> float:
    return float(f"{value:.5g}")
