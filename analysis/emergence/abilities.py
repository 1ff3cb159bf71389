"""Rows of evals.parquet, or a foreign table of scores, as abilities measured over scale."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.emergence.metric_names import task_title
from eval.evals_table import DEFAULT_OPERANDS
from train.config.spec import IsoflopError

Floats = NDArray[np.float64]
HELDOUT = "heldout"
_FOREIGN = ("model", "scale", "task", "metric", "value")
_OPTIONAL = ("n_tokens", "flops", "loss", "ci_low", "ci_high", "n_items", "seed")


class EmergenceError(IsoflopError):
    """A table of scores that can't be read."""


class EvalRow(NamedTuple):
    """One row of evals.parquet with its run's seed; NaN stands for what is not known."""

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


@dataclass(frozen=True)
class Points:
    """Checkpoints' values of one metric, one an entry, in order of scale and seed."""

    rows: tuple[EvalRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Floats:
        """A numeric column by its name in `EvalRow`."""
        return np.array([getattr(row, name) for row in self.rows], dtype=float)

    @property
    def values(self) -> Floats:
        return self.column("value")

    @property
    def by_run(self) -> dict[str, float]:
        return {row.run_id: row.value for row in self.rows}

    @property
    def seeds(self) -> list[int]:
        return sorted({row.seed for row in self.rows})

    def of_seed(self, seed: int) -> "Points":
        return Points(tuple(row for row in self.rows if row.seed == seed))


@dataclass(frozen=True)
class Ability:
    """Everything measured of one task in one format.

    `scale` is what metrics are drawn over: n_params where every size was trained to one length,
    else flops. `split` is held-out items, or what a file's items are called. `rows` are final
    checkpoints, `all_rows` those along training too.
    """

    task: str
    operands: str
    format: str
    n_shots: int
    scale: str
    rows: tuple[EvalRow, ...]
    all_rows: tuple[EvalRow, ...]
    split: str = HELDOUT

    @property
    def title(self) -> str:
        shots = f", {self.n_shots} shots" if self.n_shots else ""
        form = f", {self.format}" if self.format else ""
        return task_title(self.task, self.operands) + form + shots

    @property
    def slug(self) -> str:
        operands = "" if self.operands == DEFAULT_OPERANDS else self.operands
        parts = [self.task, operands, self.format, f"{self.n_shots}shot" if self.n_shots else ""]
        joined = "-".join(part for part in parts if part)
        return "".join(c if c.isalnum() or c in "-_" else "_" for c in joined)

    @property
    def metrics(self) -> list[str]:
        """Metrics measured over every item on the main split, in stored order."""
        found = (r.metric for r in self.rows if _is_whole(r) and r.split == self.split)
        return list(dict.fromkeys(found))

    @property
    def resolutions(self) -> list[int]:
        """Numbers of items of which exact match was also stored, ascending."""
        rows = (r for r in self.rows if r.metric == "exact_match" and r.split == self.split)
        return sorted({row.n_first for row in rows if row.n_first is not None})

    def points(
        self,
        metric: str,
        split: str | None = None,
        along_training: bool = False,
        n_first: int | None = None,
    ) -> Points:
        """A metric over every item, or the first n: one point a run, or one a checkpoint."""
        split = split or self.split
        rows = self.all_rows if along_training else self.rows
        chosen = [
            row
            for row in rows
            if row.metric == metric and row.split == split and _is_whole(row, n_first)
        ]
        return Points(tuple(sorted(chosen, key=lambda r: (getattr(r, self.scale), r.seed, r.step))))

    def by_length(self) -> dict[tuple[str, int], list[EvalRow]]:
        """The main split's rows of final checkpoints by (run, target length)."""
        rows = [r for r in self.rows if r.target_length is not None and r.split == self.split]
        return grouped(rows, lambda row: (row.run_id, int(row.target_length or 0)))


def abilities(evals: pd.DataFrame, runs: pd.DataFrame) -> list[Ability]:
    """One Ability for each task, operands, format and shots, in order of first occurrence."""
    rows = _rows(evals, runs)
    last: dict[str, float] = {}
    for row in rows:
        last[row.run_id] = max(last.get(row.run_id, -math.inf), row.step)
    found = []
    for (task, operands, form, n_shots), group in grouped(
        rows, lambda row: (row.task, row.operands, row.format, row.n_shots)
    ).items():
        final = tuple(r for r in group if not r.step < last[r.run_id])
        splits = list(dict.fromkeys(row.split for row in final))
        split = HELDOUT if HELDOUT in splits else splits[0]
        scale = _scale_of(final)
        found.append(Ability(task, operands, form, n_shots, scale, final, tuple(group), split))
    return found


def _is_whole(row: EvalRow, n_first: int | None = None) -> bool:
    return row.target_length is None and row.position is None and row.n_first == n_first


def grouped(rows: Sequence[EvalRow], key: Callable[[EvalRow], Any]) -> dict[Any, list[EvalRow]]:
    """Rows by key, keys and rows in order of occurrence."""
    groups: dict[Any, list[EvalRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _rows(evals: pd.DataFrame, runs: pd.DataFrame) -> list[EvalRow]:
    """Typed rows; the seed is the run's, or the table's own column, or 0."""
    seeds: dict[str, Any] = {}
    if "seed" in runs:
        seeds = dict(zip(runs["run_id"], runs["seed"], strict=True))
    found = []
    for record in evals.to_dict("records"):
        seed = _number(seeds.get(record["run_id"], record.get("seed")))
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
                **{name: _number(record.get(name)) for name in _NUMERIC},
            )
        )
    return [row for row in found if math.isfinite(row.value) and math.isfinite(row.n_params)]


_NUMERIC = (
    "step",
    "n_params",
    "n_tokens",
    "flops",
    "loss",
    "value",
    "ci_low",
    "ci_high",
    "n_items",
)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _integer(value: Any) -> int | None:
    return int(value) if math.isfinite(_number(value)) else None


def _scale_of(rows: Sequence[EvalRow]) -> str:
    """n_params, unless one size was trained to several lengths: then flops orders the runs."""
    lengths: dict[float, set[float]] = {}
    for row in rows:
        lengths.setdefault(row.n_params, set()).add(row.n_tokens)
    several = any(len({x for x in found if math.isfinite(x)}) > 1 for found in lengths.values())
    return "flops" if several and all(math.isfinite(row.flops) for row in rows) else "n_params"
