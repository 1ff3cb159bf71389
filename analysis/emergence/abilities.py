"""Rows of evals.parquet, or a foreign table of scores, as abilities measured over scale."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.emergence.curves import Curve, curves_of
from analysis.emergence.metric_names import task_title
from analysis.emergence.rows import EvalRow, rows_of
from eval.evals_table import DEFAULT_OPERANDS
from train.config.spec import IsoflopError

Floats = NDArray[np.float64]
HELDOUT = "heldout"
ONE_CURVE = Curve("n_params")


class EmergenceError(IsoflopError):
    """A table of scores that can't be read."""


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

    `scale` is what metrics are drawn over, and `curve` what is alike in all of its runs: a FLOP
    budget of an IsoFLOP sweep, say (see `analysis.emergence.curves`). `split` is held-out items, or
    what a file's items are called. `rows` are final checkpoints, `all_rows` those along training
    too.
    """

    task: str
    operands: str
    format: str
    n_shots: int
    scale: str
    rows: tuple[EvalRow, ...]
    all_rows: tuple[EvalRow, ...]
    split: str = HELDOUT
    curve: Curve = ONE_CURVE

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What is asked, for any curve."""
        return (self.task, self.operands, self.format, self.n_shots)

    @property
    def question(self) -> str:
        """What is asked, in words."""
        shots = f", {self.n_shots} shots" if self.n_shots else ""
        form = f", {self.format}" if self.format else ""
        return task_title(self.task, self.operands) + form + shots

    @property
    def title(self) -> str:
        """What is asked and of which curve."""
        return self.question + (f", {self.curve.label}" if self.curve.label else "")

    @property
    def slug(self) -> str:
        """For names of figures: what is asked and of which curve."""
        operands = "" if self.operands == DEFAULT_OPERANDS else self.operands
        shots = f"{self.n_shots}shot" if self.n_shots else ""
        curve = f"{self.curve.held}-{self.curve.value:.3g}" if self.curve.held else ""
        parts = [self.task, operands, self.format, shots, curve]
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

    def chance(self, metric: str) -> float:
        """What the metric is by chance (see `eval.metrics.chance`); NaN where that is not known."""
        known = [level for level in self.points(metric).column("chance") if math.isfinite(level)]
        return sum(known) / len(known) if known else math.nan

    def by_length(self) -> dict[tuple[str, int], list[EvalRow]]:
        """The main split's rows of final checkpoints by (run, target length)."""
        rows = [r for r in self.rows if r.target_length is not None and r.split == self.split]
        return grouped(rows, lambda row: (row.run_id, int(row.target_length or 0)))


def abilities(evals: pd.DataFrame, runs: pd.DataFrame) -> list[Ability]:
    """One Ability for each task, operands, format, shots and curve, in order of first occurrence.

    An IsoFLOP sweep gives one curve per budget over N, not one over the FLOPs of all of its runs,
    where sizes of one budget would be ordered by how their FLOPs were rounded.
    """
    rows = rows_of(evals, runs)
    last: dict[str, float] = {}
    for row in rows:
        last[row.run_id] = max(last.get(row.run_id, -math.inf), row.step)
    found = []
    for (task, operands, form, n_shots), group in grouped(
        rows, lambda row: (row.task, row.operands, row.format, row.n_shots)
    ).items():
        final = [r for r in group if not r.step < last[r.run_id]]
        splits = list(dict.fromkeys(row.split for row in final))
        split = HELDOUT if HELDOUT in splits else splits[0]
        for curve, run_ids in curves_of(final).items():
            found.append(
                Ability(
                    task,
                    operands,
                    form,
                    n_shots,
                    curve.scale,
                    tuple(row for row in final if row.run_id in run_ids),
                    tuple(row for row in group if row.run_id in run_ids),
                    split,
                    curve,
                )
            )
    return found


def _is_whole(row: EvalRow, n_first: int | None = None) -> bool:
    return row.target_length is None and row.position is None and row.n_first == n_first


def grouped(rows: Sequence[EvalRow], key: Callable[[EvalRow], Any]) -> dict[Any, list[EvalRow]]:
    """Rows by key, keys and rows in order of occurrence."""
    groups: dict[Any, list[EvalRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
