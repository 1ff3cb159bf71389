"""Score rows as curves over scale, one per task, metric, family, shots, length and split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from analysis.emergence.null import Null, chance_nulls, permutation_nulls, row_scores
from analysis.emergence.score import MIN_POINTS
from analysis.emergence.tables.score_rows import CURVE, ScoreRows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One metric of one task over the models of one family.

    `x` and `y` are one entry per scale, ascending, seeds averaged; `points` the rows behind them.
    `chance` is what guessing scores, NaN where unknown.
    """

    task: str
    metric: str
    family: str
    n_shots: float
    target_length: float
    split: str
    x: Floats
    y: Floats
    points: pd.DataFrame
    chance: float

    @property
    def n_seeds(self) -> int:
        return max(1, len(self.points["seed"].dropna().unique()))

    @property
    def variant(self) -> str:
        """Family, shots, length and split in words, "" for none of them."""
        parts = [
            self.family,
            f"{self.n_shots:g} shots" if np.isfinite(self.n_shots) else "",
            f"target length {self.target_length:g}" if np.isfinite(self.target_length) else "",
            self.split,
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class CurveScore:
    """A curve's emergence score with both nulls; `q_value` controls false discoveries over all."""

    curve: Curve
    score: float
    chance: Null
    permutation: Null
    q_value: float = float("nan")

    @property
    def p_value(self) -> float:
        """Under noise; of an infinite score under its own values' order.

        Noise has no steps of exactly 0, so by it one right answer of the last model alone, which
        scores infinity, would be beyond all chance.
        """
        return (self.chance if np.isfinite(self.score) else self.permutation).p_value


@dataclass(frozen=True)
class CurveStudy:
    """All curves that can be scored, in order of the table, and why others can't.

    `short` have too few scales for a score, but can be drawn; they are among `excluded` too.
    """

    scores: tuple[CurveScore, ...]
    excluded: tuple[tuple[str, str], ...]
    short: tuple[Curve, ...] = ()


def study_curves(table: ScoreRows, seed: int = 0) -> CurveStudy:
    """Scores and nulls of every curve; curves of one length share one null of noise."""
    every, excluded = curves_of(table)
    curves = [curve for curve in every if len(curve.x) >= MIN_POINTS]
    short = [curve for curve in every if len(curve.x) < MIN_POINTS]
    rng = np.random.default_rng(seed)
    found: dict[int, CurveScore] = {}
    for n_points in sorted({len(curve.x) for curve in curves}):
        which = [i for i, curve in enumerate(curves) if len(curve.x) == n_points]
        y = np.array([curves[i].y for i in which])
        scores = row_scores(y)
        both = zip(chance_nulls(scores, n_points), permutation_nulls(y, rng), strict=True)
        for i, score, (chance, permutation) in zip(which, scores, both, strict=True):
            found[i] = CurveScore(curves[i], float(score), chance, permutation)
    scored = [found[i] for i in range(len(curves))]
    if scored:
        controlled = false_discovery_control([one.p_value for one in scored]).tolist()
        scored = [replace(one, q_value=q) for one, q in zip(scored, controlled, strict=True)]
    return CurveStudy(tuple(scored), tuple(excluded), tuple(short))


def curves_of(table: ScoreRows) -> tuple[list[Curve], list[tuple[str, str]]]:
    """Curves whose rows may stand in one; and what keeps a curve from a score, with its name."""
    x_name = table.axis.column
    # Sorted and compared as a whole: 5,000 small frames would take a minute.
    rows: Any = table.rows.sort_values([x_name, "seed", "model"], kind="stable")
    keys = [rows[name].fillna(-1) if name in ("n_shots", "target_length") else rows[name]
            for name in CURVE]  # fmt: skip
    numbers = {name: rows[name].to_numpy(dtype=float) for name in (x_name, "value", "chance")}
    clashes = rows.duplicated([*CURVE, x_name, "seed"], keep=False).to_numpy()
    groups = rows.groupby(keys, sort=False).indices.values()
    curves, excluded = [], []
    for index in sorted(groups, key=lambda index: rows.index[index].min()):
        points = rows.iloc[index]
        labels = {name: points[name].iat[0] for name in CURVE}
        title = ", ".join(labels[name] for name in ("task", "metric", "family") if labels[name])
        if clashes[index].any():
            excluded.append((title, _conflict(points[clashes[index]], table)))
            continue
        x, which = np.unique(numbers[x_name][index], return_inverse=True)
        if len(x) < MIN_POINTS:
            excluded.append((title, f"measured at {len(x)} scales; a shape needs {MIN_POINTS}"))
        y = np.bincount(which, weights=numbers["value"][index]) / np.bincount(which)
        chance = numbers["chance"][index]
        known = chance[np.isfinite(chance)]
        level = float(np.median(known)) if len(known) else float("nan")
        curves.append(Curve(**labels, x=x, y=y, points=points, chance=level))
    return curves, excluded


def _conflict(clash: Any, table: ScoreRows) -> str:
    """Why rows that share a scale and a seed, (rows, columns), may not be averaged."""
    at = [table.axis.column, "seed"]
    first = clash.iloc[0]
    same = clash[(clash[at].fillna(-1) == first[at].fillna(-1)).all(axis=1)]
    models = list(dict.fromkeys(same["model"]))
    others = table.unnamed.loc[same.index]
    telling = [str(name) for name in others if others[name].astype(str).nunique() > 1]
    if len(models) > 1:
        what = f"models {' and '.join(models[:3])} share one scale ({table.axis.label})"
        fix = "name their family or seed"
    else:
        what = f"{len(same)} rows of {models[0]} are one point"
        fix = "name what tells them apart (seed, n_shots, split, target_length)"
    hint = f"; column {telling[0]!r} does" if telling else ""
    return f"{what} and are not averaged: {fix}{hint}, or filter"


def concentration(scores: Sequence[CurveScore], level: float = 0.05) -> pd.DataFrame:
    """By metric: curves, median |score|, curves above noise at `level`, false discoveries held.

    Sorted by number of curves above noise. Schaeffer et al.'s figure 5 asks whether these lie in
    few metrics: `share` is a metric's part of all curves above noise.
    """
    rows = pd.DataFrame({
        "metric": [one.curve.metric for one in scores],
        "size": np.abs([one.score for one in scores]),
        "above": [one.p_value < level for one in scores],
        "clear": [one.q_value < level for one in scores],
    })  # fmt: skip
    table = rows.groupby("metric", sort=False).agg(
        curves=("size", "size"), median=("size", "median"), above=("above", "sum"),
        clear=("clear", "sum"),
    )  # fmt: skip
    total = max(1, sum(table["clear"].tolist()))
    table["share"] = table["clear"] / total
    return table.sort_values(["clear", "above", "curves"], ascending=False).reset_index()
