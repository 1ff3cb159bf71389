"""Optimal learning rate and batch of every cell, and their laws in N and D.

lr* = c N^p D^q and batch* = c D^q are fitted to the cells' optima by least squares in logarithms;
cells whose optimum lies at an edge of what was tried are shown and not fitted.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import t

from analysis.data.loss_table import LossTable
from analysis.data.repeats import cells_of
from analysis.errors import FitError, Numbers
from analysis.stats.resampling import Interval
from analysis.studies.tuning.optimum import Optimum, find_optimum

RATES = ("lr_peak", "lr", "learning_rate", "peak_lr", "max_lr", "base_lr")
BATCHES = ("batch_tokens", "bs", "batch_size", "batch", "global_batch_size")
"""Columns of a table that a rate and a batch may be, the first that varies within cells is it."""

STEPS = ("n_steps", "steps", "train_steps", "iterations", "ti")
"""Columns that tell a batch in sequences: tokens over steps over batch is one number."""

LEAST_VALUES = 3
"""Values of a setting that make a cell one that was swept over it."""

LEAST_CELLS = 3
"""Optima beyond a law's parameters that it takes to say how far off it is."""


@dataclass(frozen=True)
class TunedCell:
    """The optimum of one size and length.

    Attributes:
        n_params: N.
        n_tokens: D.
        n_runs: Settings that were tried, seeds among them.
        lr: Best rate; NaN where it was not swept.
        lr_interval: Its 95 % interval.
        batch: Best batch, in tokens where the table tells, else in its unit.
        batch_interval: Its 95 % interval.
        loss: Loss there.
        wrong_rate: Relative loss that twice the best rate costs, by the parabola.
        reason: Why the optimum is not inside the sweep, and was not fitted; empty where it is.
    """

    n_params: float
    n_tokens: float
    n_runs: int
    lr: float
    lr_interval: Interval
    batch: float
    batch_interval: Interval
    loss: float
    wrong_rate: float
    reason: str


@dataclass(frozen=True)
class SettingLaw:
    """setting = coefficient N^n_exponent D^d_exponent.

    Attributes:
        name: lr or batch.
        coefficient: For N in parameters and D in tokens.
        n_exponent: 0 with a NaN interval where N was left out.
        d_exponent: The same of D.
        intervals: 95 % of both exponents, by Student's t.
        scatter: Standard deviation of the log optima about the law.
        n_cells: Optima that it was fitted to.
        left_out: Why N or D is not in it; empty where both are.
    """

    name: str
    coefficient: float
    n_exponent: float
    d_exponent: float
    intervals: dict[str, Interval]
    scatter: float
    n_cells: int
    left_out: str = ""

    def __call__(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        """The setting at a size and a length."""
        return self.coefficient * n_params**self.n_exponent * n_tokens**self.d_exponent


@dataclass(frozen=True)
class TuningStudy:
    """All cells, the laws that their optima determine, and why others are missing.

    Attributes:
        cells: By size, then length.
        laws: lr of N and D, batch of D; one that was not swept, or not determined, is missing.
        missing: Reasons, by the law's name.
        columns: What the rate and the batch are called in the table.
        batch_in_tokens: Whether batches are known to be in tokens, as a rule for runs takes them.

    Examples:
        >>> from isoflop import TuningStudy
        >>> TuningStudy((), {}, {"lr": "2 of 9 cells have an optimum"}, {"lr": "lr_peak"}).laws
        {}
    """

    cells: tuple[TunedCell, ...]
    laws: dict[str, SettingLaw]
    missing: dict[str, str]
    columns: dict[str, str]
    batch_in_tokens: bool = False

    @property
    def wrong_rate(self) -> float:
        """Median over cells of what twice the best rate costs, as a share of the loss."""
        known = [cell.wrong_rate for cell in self.cells if np.isfinite(cell.wrong_rate)]
        return float(np.median(known)) if known else float("nan")

    def to_json(self) -> dict[str, Any]:
        """As fits.json has it, which optim.rule=fitted:DIR reads; numbers may be NaN."""
        return {
            **{name: asdict(law) for name, law in self.laws.items()},
            "cells": [asdict(cell) for cell in self.cells],
            "wrong_rate": self.wrong_rate,
            "missing": self.missing,
            "columns": self.columns,
            "batch_in_tokens": self.batch_in_tokens,
        }


def is_swept(table: LossTable) -> bool:
    """Whether some cells of a table were trained under several rates or batches."""
    return bool(_columns(table))


def study_tuning(table: LossTable, loss: str = "loss", seed: int = 0) -> TuningStudy:
    """The optima of all cells of one size and length, and the laws through them.

    Args:
        table: All runs, not the best of each cell alone.
        loss: The column to minimise.
        seed: Of the redrawn parabolas.

    Raises:
        FitError: No column of rates or batches varies within cells.
    """
    columns = _columns(table)
    if not columns:
        raise FitError(
            f"no rate ({', '.join(RATES)}) or batch ({', '.join(BATCHES)}) varies within a cell of "
            f"one size and length; tune with isoflop sweep tune, or name the columns"
        )
    rng = np.random.default_rng(seed)
    names = {setting: table.numbers(column) for setting, column in columns.items()}
    unit = _batch_tokens(table, columns["batch"]) if "batch" in columns else None
    if unit is not None:
        names["batch"] = names["batch"] * unit
    values, log_loss = np.stack(list(names.values()), axis=1), np.log(table.numbers(loss))
    usable = np.isfinite(values).all(axis=1) & (values > 0).all(axis=1) & np.isfinite(log_loss)
    cell = _cells(table)
    found = []
    for number in np.unique(cell):
        rows = np.flatnonzero((cell == number) & usable)
        if len(rows) < 2:
            continue
        best = find_optimum(np.log(values[rows]), log_loss[rows], rng)
        size, length = (float(np.median(table.numbers(c)[rows])) for c in ("n_params", "n_tokens"))
        found.append(_cell(size, length, len(rows), best, list(names)))
    cells = tuple(sorted(found, key=lambda one: (one.n_params, one.n_tokens)))
    laws, missing = {}, {}
    for setting in names:
        try:
            laws[setting] = fit_law(setting, cells, ("D",) if setting == "batch" else ("N", "D"))
        except FitError as error:
            missing[setting] = str(error)
    return TuningStudy(cells, laws, missing, columns, "batch" in columns and unit is not None)


def fit_law(name: str, cells: Sequence[TunedCell], variables: Sequence[str]) -> SettingLaw:
    """The power law of a setting through the optima inside their sweeps.

    Args:
        name: lr or batch.
        cells: All cells.
        variables: What the law may depend on, N, D or both.

    Raises:
        FitError: Too few optima inside their sweeps, or of one size and length alone.
    """
    kept = [c for c in cells if not c.reason]
    x = {"N": np.log([c.n_params for c in kept]), "D": np.log([c.n_tokens for c in kept])}
    used = [v for v in variables if np.ptp(x[v], axis=0) > np.log(1.5)] if kept else []
    left_out = "".join(f"{v} hardly varies" for v in variables if v not in used)
    if len(used) == 2 and abs(np.corrcoef(x["N"], x["D"])[0, 1]) > 0.99:
        used, left_out = ["N"], "D grows with N, so that the two cannot be told apart"
    if not used or len(kept) < 1 + len(used) + LEAST_CELLS:
        raise FitError(
            f"{len(kept)} of {len(cells)} cells have an optimum inside what was tried, a law takes "
            f"{1 + max(1, len(used)) + LEAST_CELLS} of several sizes or lengths"
        )
    design = np.column_stack([np.ones(len(kept)), *(x[v] for v in used)])
    y = np.log([getattr(c, name) for c in kept])
    values = np.linalg.lstsq(design, y, rcond=None)[0]
    freedom = len(y) - len(values)
    variance = float(np.sum((y - design @ values) ** 2)) / freedom
    half = t.ppf(0.975, freedom) * np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    slopes = dict(zip(used, zip(values[1:], half[1:], strict=True), strict=True))
    nothing = (0.0, float("nan"))
    (n, n_half), (d, d_half) = (slopes.get(v, nothing) for v in ("N", "D"))
    intervals = {"n_exponent": (float(n - n_half), float(n + n_half)),
                 "d_exponent": (float(d - d_half), float(d + d_half))}  # fmt: skip
    return SettingLaw(
        name, float(np.exp(values[0])), float(n), float(d), intervals, float(np.sqrt(variance)),
        len(kept), left_out,
    )  # fmt: skip


def _cell(size: float, length: float, n_runs: int, best: Optimum, names: list[str]) -> TunedCell:
    nan = float("nan")
    at = {name: float(np.exp(value)) for name, value in zip(names, best.at, strict=True)}
    spans = {
        name: (float(np.exp(low)), float(np.exp(high)))
        for name, (low, high) in zip(names, best.intervals, strict=True)
    }
    bend = float(best.curvature[names.index("lr")]) if "lr" in names else nan
    return TunedCell(
        size, length, n_runs,
        at.get("lr", nan), spans.get("lr", (nan, nan)),
        at.get("batch", nan), spans.get("batch", (nan, nan)),
        float(np.exp(best.log_loss)), float(np.exp(bend * np.log(2) ** 2 / 2) - 1), best.reason,
    )  # fmt: skip


def _columns(table: LossTable) -> dict[str, str]:
    """The column of each setting that varies within most cells of several runs."""
    if not len(table):
        return {}
    cell, found = _cells(table), {}
    for setting, names in (("lr", RATES), ("batch", BATCHES)):
        for name in names:
            if name not in table.runs:
                continue
            distinct = _distinct(cell, table.numbers(name))
            if len(distinct) and float(np.mean(distinct >= LEAST_VALUES)) > 0.5:
                found[setting] = name
                break
    return found


def _distinct(cell: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many values each cell of LEAST_VALUES runs or more has."""
    return np.array([
        len(np.unique(own))
        for number in np.unique(cell)
        if len(own := values[(cell == number) & np.isfinite(values)]) >= LEAST_VALUES
    ])  # fmt: skip


def _batch_tokens(table: LossTable, column: str) -> float | None:
    """Tokens of one unit of the table's batch; None where it does not tell."""
    if column == "batch_tokens":
        return 1.0
    for name in STEPS:
        with np.errstate(all="ignore"):
            ratio = table.numbers("n_tokens") / (table.numbers(name) * table.numbers(column))
        known = ratio[np.isfinite(ratio)]
        if len(known) and np.quantile(known, 0.95) < 1.02 * np.quantile(known, 0.05):
            return float(np.round(np.median(known)))
    return None


def _cells(table: LossTable) -> np.ndarray:
    return cells_of(table.runs, ("n_params", "n_tokens"))
