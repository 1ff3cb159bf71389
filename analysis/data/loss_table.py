"""The table that fits are made from: runs, their curves, what was left out and why.

A row that can't be fitted is never dropped in silence: it turns into an `Exclusion` with its name
and reason. `analysis.data.readers` reads such tables from sweeps, files and W&B.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.data.budgets import group_by_flops
from analysis.data.conditions import described, rows_where
from analysis.data.counting import count
from analysis.data.reading.cells import is_missing
from analysis.data.recipes import Recipes, find_recipes
from analysis.data.repeats import tuned
from analysis.data.run_arrays import Curves, RunArrays
from analysis.data.table_error import TableError

CURVE_COLUMNS = ("run_id", "n_tokens", "flops", "loss")
NUMBERS = ("n_params", "n_tokens", "flops", "loss")
_OPTIONAL = ("n_params_total", "n_params_non_embedding", "flops_chinchilla", "n_params_active")


@dataclass(frozen=True)
class Exclusion:
    """A run that no fit uses."""

    run_id: str
    reason: str


@dataclass(frozen=True)
class LossTable:
    """Runs that can be fitted, one a row; their training curves; what was left out; what is odd.

    `runs` has at least run_id, n_params, n_tokens, flops, flops_budget (NaN for none) and loss;
    `curves` has run_id, n_tokens, flops and loss along training, `training` the same of smoothed
    training losses, with their `error`; `evals` is evals.parquet's content; `understood` are lines
    on what was taken from which column of a file;
    `repeating` are runs that saw their tokens too often for the laws of new data; `settings` are
    all runs of cells whose best alone is fitted: best_of (the best one's run_id), loss, settings.

    Examples:
        >>> from isoflop import read_runs
        >>> read_runs({"n_params": [1e6], "n_tokens": [2e7], "loss": [4.1]}).numbers("flops")
        array([1.2e+14])
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    excluded: tuple[Exclusion, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    evals: pd.DataFrame = field(default_factory=pd.DataFrame)
    understood: tuple[str, ...] = ()
    repeating: pd.DataFrame = field(default_factory=pd.DataFrame)
    settings: pd.DataFrame = field(default_factory=pd.DataFrame)
    training: pd.DataFrame = field(default_factory=pd.DataFrame)

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
        return np.array([default if is_missing(v) else str(v) for v in values], dtype=object)

    def epochs(self) -> np.ndarray:
        """Passes over the data, (runs,): the most of any part, or tokens over unique; else 0."""
        names = [c for c in map(str, self.runs.columns) if c == "epochs" or c.startswith("epochs_")]
        if names:
            return np.nan_to_num(np.stack([self.numbers(name) for name in names])).max(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            passes = self.numbers("n_tokens") / self.numbers("unique_tokens")
        return np.nan_to_num(passes, posinf=0.0)

    def weights(self, name: str) -> np.ndarray:
        """A column as weights of the runs, (runs,).

        Raises:  TableError: no such column, or values that are no weights.
        """
        if name not in self.runs:
            raise TableError(f"fit.weights={name} is no column of the runs")
        found = self.numbers(name)
        bad = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
        if len(bad):
            value = self.runs[name].tolist()[int(bad[0])]
            raise TableError(f"fit.weights={name} has {value!r}; expected numbers >= 0 in all runs")
        return found

    def with_repeating(self) -> "LossTable":
        """The table with the runs of repeated data too, for laws that count repetition."""
        if not len(self.repeating):
            return self
        return replace(self, runs=pd.concat([self.runs, self.repeating], ignore_index=True))

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

    def counted(self, counting: str = "exact") -> RunArrays:
        """N, D, C, L and budgets as arrays under a convention of `analysis.data.counting`."""
        present = [name for name in (*NUMBERS, *_OPTIONAL) if name in self.runs]
        columns = {name: self.numbers(name) for name in present}
        budget = self.numbers("flops_budget")
        if not np.isfinite(budget).any():
            budget = group_by_flops(columns["flops"])
        return count({**columns, "budget": budget}, counting)

    def training_curves(self, counted: RunArrays) -> Curves:
        """Curves of the runs of `counted`, with FLOPs and N under its convention."""
        run, n_tokens, flops, loss, *error = self._sorted_curves
        scale = counted.flops / self.numbers("flops")
        return Curves(run, counted.n_params[run], n_tokens, flops * scale[run], loss, *error)

    @cached_property
    def _sorted_curves(self) -> tuple[np.ndarray, ...]:
        """Row of the run, tokens, FLOPs, loss and any error of each point, (points,) each."""
        position = pd.Index(self.runs["run_id"]).get_indexer(pd.Index(self.curves["run_id"]))
        kept = np.flatnonzero(position >= 0)
        run = position[kept]
        names = [*CURVE_COLUMNS[1:], *(["error"] if "error" in self.curves else [])]
        columns = (run, *(as_numbers(self.curves, name)[kept] for name in names))
        flops = columns[2]
        later = (np.diff(run) > 0) | ((np.diff(run) == 0) & (np.diff(flops) > 0))
        if later.all():
            return columns
        order = np.lexsort((flops, run))
        return tuple(column[order] for column in columns)


def as_numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A column as floats, (rows,), NaN for what is no number; all NaN where there is no column."""
    if name not in frame:
        return np.full(len(frame), np.nan)
    # As floats: the product of integer N and D overflows 64 bits from about 1e18.
    return np.asarray(pd.to_numeric(frame[name], errors="coerce"), dtype=float)


def select(
    table: LossTable,
    data: str | None = None,
    grid: str | None = None,
    where: Sequence[str] = (),
    drop_highest: int = 0,
    *,
    all_recipes: bool = False,
    best_of: Sequence[str] | None = None,
    max_epochs: float = np.inf,
) -> LossTable:
    """The runs that belong in one fit: one kind of data, since losses on others don't compare.

    Without `data`, the data with the most distinct compute budgets is taken, then the one with most
    runs. Without `grid`, of grids that train the same cells in different ways the one with the
    least losses is taken, unless `all_recipes`. `where` holds conditions as in
    `analysis.data.conditions`; `drop_highest` leaves out the runs of highest loss. `best_of` are
    columns of whose equal values the best run is taken, None to recognise sweeps over settings (not
    with `all_recipes`). Runs of more than `max_epochs` become `repeating`.

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
    table = _of_new_data(table, max_epochs)
    if best_of is not None or not all_recipes:
        table = _best_of_cells(table, best_of)
    if len(table) == 0:
        raise TableError("no run passes the filters; loosen fit.data, fit.grid or fit.where")
    return table


def _of_new_data(table: LossTable, max_epochs: float) -> LossTable:
    """The table without runs that saw their tokens more than `max_epochs` times."""
    epochs = table.epochs()
    over = epochs > max_epochs * 1.01
    if not over.any():
        return table
    kept, n_over = int((~over).sum()), int(over.sum())
    if kept < 8:  # no surface fits fewer
        return table.warned(
            f"{n_over} of {len(table)} runs saw their tokens more than {max_epochs:g} times (up to "
            f"{epochs.max():.4g}) and too few others are left to fit alone; the laws of new data "
            f"count repeated tokens as new ones, which they are not worth"
        )
    repeating = table.runs.iloc[np.flatnonzero(over)].reset_index(drop=True)
    reasons = [f"saw its tokens {e:.3g} times (fit.max_epochs={max_epochs:g})" for e in epochs]
    return replace(table.without(over, reasons), repeating=repeating).warned(
        f"{n_over} of {kept + n_over} runs saw their tokens more than {max_epochs:g} times (up to "
        f"{epochs.max():.4g}); the laws of new data are fitted to the other {kept}, the "
        f"data-constrained law to all (fit.max_epochs)"
    )


def _best_of_cells(table: LossTable, best_of: Sequence[str] | None) -> LossTable:
    loss = table.numbers("loss")
    found = tuned(table.runs, loss, best_of)
    if found is None:
        return table
    said = "loss {:.5g}, its cell's best is {:.5g} (fit.best_of)"
    reasons = [said.format(*pair) for pair in zip(loss, found.best, strict=True)]
    names = table.texts("run_id")
    settings = table.runs[list(found.swept)].assign(loss=loss, best_of=names[found.best_rows])
    return replace(table.without(~found.keep, reasons).warned(found.note), settings=settings)


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
