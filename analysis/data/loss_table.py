"""The table that fits are made from: runs, their curves, what was left out and why.

A row that can't be fitted is never dropped in silence: it turns into an `Exclusion` with its name
and reason. `analysis.data.readers` reads such tables from sweeps, files and W&B.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.budgets import group_by_flops
from analysis.data.conditions import described, rows_where
from analysis.data.counting import count
from analysis.data.recipes import Recipes, find_recipes
from analysis.data.run_arrays import Counted, Curves
from analysis.data.table_error import TableError

CURVE_COLUMNS = ("run_id", "n_tokens", "flops", "loss")
NUMBERS = ("n_params", "n_tokens", "flops", "loss")
_OPTIONAL = ("n_params_total", "n_params_non_embedding", "flops_chinchilla")


@dataclass(frozen=True)
class Exclusion:
    """A run that no fit uses."""

    run_id: str
    reason: str


@dataclass(frozen=True)
class LossTable:
    """Runs that can be fitted, one a row; their training curves; what was left out; what is odd.

    `runs` has at least run_id, n_params, n_tokens, flops, flops_budget (NaN for none) and loss;
    `curves` has run_id, n_tokens, flops and loss along training; `evals` is evals.parquet's
    content; `understood` are lines on what was taken from which column of a file.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    excluded: tuple[Exclusion, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    evals: pd.DataFrame = field(default_factory=pd.DataFrame)
    understood: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.runs)

    def numbers(self, name: str) -> np.ndarray:
        """A numeric column as floats, (runs,); what is no number is NaN."""
        return as_numbers(self.runs, name)

    def texts(self, name: str, default: str = "") -> np.ndarray:
        """A column as strings, (runs,)."""
        if name not in self.runs:
            return np.full(len(self.runs), default, dtype=object)
        values = self.runs[name].tolist()
        return np.array([default if _absent(v) else str(v) for v in values], dtype=object)

    def epochs(self) -> np.ndarray:
        """Passes over the training data, (runs,): a column epochs, or the most of any data part's.

        0 where it is not known or the data has no end.
        """
        names = [c for c in map(str, self.runs.columns) if c == "epochs" or c.startswith("epochs_")]
        if not names:
            return np.zeros(len(self))
        return np.nan_to_num(np.stack([self.numbers(name) for name in names])).max(axis=0)

    def without(self, drop: np.ndarray, reasons: str | Sequence[str]) -> "LossTable":
        """The table without the runs where `drop` (runs,) is True, each of which is an exclusion.

        Args:    reasons: one for all, or one for each run of the table.
        """
        if not drop.any():
            return self
        names = self.texts("run_id")
        lost = [
            Exclusion(names[i], reasons if isinstance(reasons, str) else reasons[i])
            for i in map(int, np.flatnonzero(drop))
        ]
        kept = self.runs.iloc[np.flatnonzero(~drop)].reset_index(drop=True)
        return replace(self, runs=kept, excluded=(*self.excluded, *lost))

    def warned(self, *messages: str) -> "LossTable":
        return replace(self, warnings=(*self.warnings, *messages))

    def counted(self, counting: str = "exact") -> Counted:
        """N, D, C, L and budgets as arrays under a counting convention; see
        `analysis.data.counting`.
        """
        present = [name for name in (*NUMBERS, *_OPTIONAL) if name in self.runs]
        columns = {name: self.numbers(name) for name in present}
        budget = self.numbers("flops_budget")
        if not np.isfinite(budget).any():
            budget = group_by_flops(columns["flops"])
        return count({**columns, "budget": budget}, counting)

    def training_curves(self, counted: Counted) -> Curves:
        """Curves of the runs of `counted`, with FLOPs and N under its convention."""
        run, n_tokens, flops, loss = self._sorted_curves
        scale = counted.flops / self.numbers("flops")
        return Curves(run, counted.n_params[run], n_tokens, flops * scale[run], loss)

    @cached_property
    def _sorted_curves(self) -> tuple[np.ndarray, ...]:
        """Row of the run, tokens, FLOPs and loss of each point, by run and FLOPs; (points,)
        each.
        """
        position = pd.Index(self.runs["run_id"]).get_indexer(pd.Index(self.curves["run_id"]))
        kept = np.flatnonzero(position >= 0)
        run = position[kept]
        n_tokens, flops, loss = (as_numbers(self.curves, c)[kept] for c in CURVE_COLUMNS[1:])
        later = (np.diff(run) > 0) | ((np.diff(run) == 0) & (np.diff(flops) > 0))
        if later.all():
            return run, n_tokens, flops, loss
        order = np.lexsort((flops, run))
        return run[order], n_tokens[order], flops[order], loss[order]


def as_numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A column as floats, (rows,), NaN for what is no number; all NaN where there is no column."""
    if name not in frame:
        return np.full(len(frame), np.nan)
    # As floats: the product of integer N and D overflows 64 bits from about 1e18.
    return np.asarray(pd.to_numeric(frame[name], errors="coerce"), dtype=float)


def clean(table: LossTable) -> LossTable:
    """Exclude rows that no law can use: numbers not positive and finite, runs that occur twice.

    Raises:  TableError: nothing remains (the message says what the first reason was), or trained
             runs among simulated ones.
    """
    table = _of_one_origin(table)
    for name in NUMBERS:
        values = table.numbers(name)
        bad = ~(np.isfinite(values) & (values > 0))
        shown = table.runs[name].tolist()
        table = table.without(
            bad, [f"{name}={value} is not positive and finite" for value in shown]
        )
        table = replace(table, runs=table.runs.assign(**{name: table.numbers(name)}))
    again = np.asarray(table.runs["run_id"].duplicated())
    table = table.without(again, "a run with this name came before")
    twins = np.asarray(table.runs[["n_params", "n_tokens", "loss"]].duplicated())
    table = table.without(twins, "N, D and loss equal those of an earlier run to every digit")
    if len(table) == 0:
        first = table.excluded[0].reason if table.excluded else "the table is empty"
        raise TableError(
            f"{', '.join(table.sources)} has no usable run: {len(table.excluded)} excluded, "
            f"first reason: {first}"
        )
    return table


def _of_one_origin(table: LossTable) -> LossTable:
    """The table, with a warning where its losses are simulated; runs of two origins don't mix."""
    origins = sorted(set(table.texts("simulated")))
    if len(origins) > 1:
        named = "; ".join(f"simulated on {name}" if name else "trained" for name in origins)
        raise TableError(
            f"{', '.join(table.sources)} mix runs of {len(origins)} origins ({named}), which no "
            f"fit may join; analyse them apart"
        )
    if origins and origins[0]:
        return table.warned(
            f"Nothing was trained here: the losses of all {len(table)} runs are simulated "
            f"({origins[0]})"
        )
    return table


def only_finished(table: LossTable) -> LossTable:
    """Exclude runs whose status is not finished, with their status and message."""
    status, message = table.texts("status"), table.texts("message")
    reasons = [
        f"status {s}" + (f": {m}" if m else "") for s, m in zip(status, message, strict=True)
    ]
    return table.without(status != "finished", reasons)


def select(
    table: LossTable,
    data: str | None = None,
    grid: str | None = None,
    where: Sequence[str] = (),
    drop_highest: int = 0,
    *,
    all_recipes: bool = False,
) -> LossTable:
    """The runs that belong in one fit: one kind of data, since losses on others don't compare.

    Without `data`, the data with the most distinct compute budgets is taken, then the one with most
    runs. Without `grid`, of grids that train the same cells in different ways the one with the
    least losses is taken, unless `all_recipes`. `where` holds conditions as in
    `analysis.data.conditions`; `drop_highest` leaves out the runs of highest loss.

    Raises:  TableError: no run of that data or grid, a condition that can't be evaluated.
    """
    if "data" in table.runs:
        table = _one_data(table, data)
    elif data is not None:
        raise TableError(f"fit.data={data}: the table has no column data; leave fit.data out")
    if grid is not None:
        names = table.texts("grid", "none")
        if grid not in names:
            known = ", ".join(sorted(set(names)))
            raise TableError(f"fit.grid={grid} is unknown; expected one of {known}")
        table = table.without(names != grid, f"not of grid {grid} (fit.grid)")
    elif not all_recipes:
        table = _one_recipe(table)
    for condition in where:
        passes = rows_where(table.runs, condition)
        if not passes.any():
            raise TableError(
                f"no run passes fit.where={condition!r}: of {len(table)} runs, "
                f"{described(table.runs, condition)}; loosen it"
            )
        table = table.without(~passes, f"fails the filter {condition}")
    if drop_highest:
        worst = np.argsort(-table.numbers("loss"), kind="stable")[:drop_highest]
        reason = f"among the {drop_highest} highest losses (fit.drop_highest)"
        table = table.without(np.isin(np.arange(len(table)), worst), reason)
    if len(table) == 0:
        raise TableError("no run passes the filters; loosen fit.data, fit.grid or fit.where")
    return table


def _one_data(table: LossTable, data: str | None) -> LossTable:
    names, prints = table.texts("data"), table.texts("data_fingerprint")
    group = np.array([f"{n} {p}".strip() for n, p in zip(names, prints, strict=True)], dtype=object)
    if data is None:
        chosen = max(sorted(set(group)), key=lambda label: _weight(table, group == label))
    else:
        matching = sorted(set(group[(names == data) | (group == data)]))
        if len(matching) != 1:
            raise TableError(
                f"fit.data={data} matches {len(matching)} kinds of data; expected one of: "
                f"{', '.join(sorted(set(group)))}"
            )
        chosen = matching[0]
    label = names[int(np.flatnonzero(group == chosen)[0])]
    reasons = [
        f"trained on {n}, this fit is of {label}"
        + (" of another fingerprint" if n == label else "")
        for n in names
    ]
    return table.without(group != chosen, reasons)


def recipes_of(table: LossTable) -> Recipes | None:
    """The grids that train the same cells in different ways, among runs of one kind of data."""
    if "grid" not in table.runs:
        return None
    columns = [table.numbers(name) for name in ("n_params", "flops_budget", "seed")]
    # Without a column of seeds all runs count as of one.
    columns[2] = np.nan_to_num(columns[2])
    return find_recipes(table.texts("grid"), np.stack(columns, axis=1), table.numbers("loss"))


def _one_recipe(table: LossTable) -> LossTable:
    recipes = recipes_of(table)
    if recipes is None:
        return table
    names, best = table.texts("grid"), recipes.best
    lost = np.isin(names, [name for name in recipes.names if name != best])
    return table.without(
        lost, [f"of recipe {name}, this fit is of {best}" for name in names]
    ).warned(
        f"{len(recipes.names)} recipes train the same cells ({', '.join(recipes.names)}); the fits "
        f"are of {best}, whose losses are least (fit.grid= chooses another)"
    )


def _weight(table: LossTable, rows: np.ndarray) -> tuple[int, int]:
    budget = table.numbers("flops_budget")[rows]
    return len(np.unique(budget[np.isfinite(budget)])), int(rows.sum())


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
