"""Two sweeps side by side: their exponents and the difference, shared budgets, differing specs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.format import number
from analysis.stats.resampling import Interval
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.study import Study

APPROACHES = ("repeated", "isoflop", "parametric", "envelope", "kaplan")
"""In the order in which a difference of exponents is quoted."""

SPEC = (
    "data", "data_fingerprint", "simulated", "grid", "recipe", "family", "vocab_size", "seq_len",
    "d_model", "n_layers", "n_heads", "n_params", "n_tokens", "flops_budget", "batch_tokens",
    "lr_peak", "schedule", "precision", "device", "seed",
)  # fmt: skip
"""Columns of a run that say what was trained, not what came out."""

MOST_VALUES = 4


@dataclass(frozen=True)
class ExponentRow:
    """One exponent under one approach in two sweeps or more; NaN where one has none."""

    approach: str
    name: str
    values: tuple[float, ...]
    intervals: tuple[Interval, ...]

    @property
    def difference(self) -> float:
        """Second less first."""
        return self.values[1] - self.values[0]

    @property
    def difference_interval(self) -> Interval:
        """95 % interval of the difference of two independent estimates from their own intervals.

        Source:  Zou and Donner 2008 (method of variance estimates recovery).
        """
        (low, high), (other_low, other_high) = self.intervals[:2]
        first, second = self.values[:2]
        below = np.hypot(second - other_low, high - first)
        above = np.hypot(other_high - second, first - low)
        return float(self.difference - below), float(self.difference + above)


@dataclass(frozen=True)
class BudgetPair:
    """The minima of both sweeps at a budget that both trained."""

    flops: float
    n_opt: tuple[float, float]
    n_intervals: tuple[Interval, Interval]
    loss: tuple[float, float]

    @property
    def loss_ratio(self) -> float:
        """Relative excess of the second sweep's least loss over the first's."""
        return self.loss[1] / self.loss[0] - 1


def exponents(*studies: Study) -> list[ExponentRow]:
    """Exponents a and b of each approach that any of the studies has."""
    rows = []
    for approach in APPROACHES:
        for name in ("a", "b"):
            values = tuple(_exponent(study, approach, name) for study in studies)
            if np.isfinite(values).any():
                intervals = tuple(study.interval(approach, name) for study in studies)
                rows.append(ExponentRow(approach, name, values, intervals))
    return rows


def shared_budgets(first: Study, second: Study, tolerance: float = 0.02) -> list[BudgetPair]:
    """Minima at the budgets, within a tolerance, at which both sweeps have a bracketed one."""
    ours, theirs = (study.find(IsoflopApproach) for study in (first, second))
    if ours is None or theirs is None:
        return []
    return [
        BudgetPair(
            one.flops,
            (one.n_opt, other.n_opt),
            (one.interval, other.interval),
            (one.loss, other.loss),
        )
        for one in ours.fit.profiles
        for other in theirs.fit.profiles
        if one.bracketed and other.bracketed and abs(other.flops / one.flops - 1) <= tolerance
    ]


def spec_differences(first: Study, second: Study) -> list[tuple[str, str, str]]:
    """Columns whose values differ between the fitted runs: name, then what each sweep has."""
    found = []
    for name in SPEC:
        ours, theirs = (_values(study.table.runs, name) for study in (first, second))
        if ours != theirs:
            found.append((name, ours, theirs))
    return found


def setting_differences(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """Dotted keys of two nested configurations whose values differ, a dash where one is absent."""
    ours, theirs = _flat(first), _flat(second)
    return [
        (key, ours.get(key, "–"), theirs.get(key, "–"))
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def _exponent(study: Study, approach: str, name: str) -> float:
    fit = study.fits.get(approach)
    if fit is None or fit.status == "degenerate":
        return float("nan")
    return fit.parameters[name]


def _values(runs: pd.DataFrame, name: str) -> str:
    """The values of a column in few words: all of them, or how many from where to where."""
    if name not in runs:
        return "–"
    values = runs[name].dropna().unique().tolist()
    if not values:
        return "–"
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    shown = [number(float(v)) for v in sorted(values)] if numeric else sorted(map(str, values))
    if len(shown) <= MOST_VALUES:
        return ", ".join(shown)
    return f"{len(shown)} values, {shown[0]} to {shown[-1]}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = " ".join(str(value).split())
    return flat
