"""Rows of evals.parquet, typed, with what their runs add."""

import math
from typing import Any, NamedTuple

import pandas as pd

NUMERIC = (
    "step",
    "n_params",
    "n_tokens",
    "flops",
    "loss",
    "value",
    "ci_low",
    "ci_high",
    "n_items",
    "chance",
)


class EvalRow(NamedTuple):
    """One row of evals.parquet with its run's seed and budget; NaN stands for what is not known."""

    run_id: str
    step: float
    seed: int
    n_params: float
    n_tokens: float
    flops: float
    loss: float
    task: str
    operands: str
    format: str
    n_shots: int
    split: str
    target_length: int | None
    position: int | None
    n_first: int | None
    metric: str
    value: float
    ci_low: float
    ci_high: float
    n_items: float
    chance: float = math.nan
    budget: float = math.nan


def rows_of(evals: pd.DataFrame, runs: pd.DataFrame) -> list[EvalRow]:
    """Typed rows; the seed is the run's, or the table's own column, or 0."""
    seeds, budgets = (_of_runs(runs, name) for name in ("seed", "flops_budget"))
    found = []
    for record in evals.to_dict("records"):
        seed = number_of(seeds.get(record["run_id"], record.get("seed")))
        found.append(
            EvalRow(
                run_id=str(record["run_id"]),
                seed=int(seed) if math.isfinite(seed) else 0,
                task=str(record["task"]),
                operands=str(record["operands"]),
                format=str(record["format"]),
                n_shots=int(record["n_shots"]),
                split=str(record["split"]),
                target_length=_integer(record["target_length"]),
                position=_integer(record["position"]),
                n_first=_integer(record["n_first"]),
                metric=str(record["metric"]),
                budget=number_of(budgets.get(record["run_id"])),
                **{name: number_of(record.get(name)) for name in NUMERIC},
            )
        )
    return [row for row in found if math.isfinite(row.value) and math.isfinite(row.n_params)]


def _of_runs(runs: pd.DataFrame, name: str) -> dict[str, Any]:
    return dict(zip(runs["run_id"], runs[name], strict=True)) if name in runs else {}


def number_of(value: Any) -> float:
    """A cell as a number; NaN for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _integer(value: Any) -> int | None:
    return int(value) if math.isfinite(number_of(value)) else None
