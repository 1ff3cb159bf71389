"""Others' scores (BIG-bench, Pythia, ...) as one report: emergence by task, metric and family."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from analysis.emergence.metric_names import name_of
from analysis.emergence.score import MIN_POINTS, Transition, fit_transition
from analysis.emergence.tables.curves import (
    Curve,
    CurveScore,
    CurveStudy,
    concentration,
    study_curves,
)
from analysis.emergence.tables.read import ScoreOptions, read_scores
from analysis.emergence.tables.score_rows import ScoreRows
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.score_tables import scores_by_metric_figure, task_figure
from analysis.format import count_label, number
from analysis.report.document import Part, Section, TableSpec
from analysis.report.report import Report
from analysis.report.write import write_report
from analysis.sections.emergence import plain_json
from train.rundir.atomic import write_json

MOST_FIGURES = 20
"""Figures of tasks on a page, those with the clearest curves first; the table has every curve."""

MOST_RISES = 60
"""Curves whose rise is fitted and listed; a logistic takes some 30 ms."""

CLEAR = 0.05


def report_scores(
    path: Path, options: ScoreOptions, directory: Path, title: str | None, command: str
) -> Path:
    """Write emergence.json, figures and report.html on a table of scores; the path of the page.

    Raises:  TableError, ScoreTableError: a table that can't be read, or has no usable row.
    """
    table = read_scores(path, options)
    study = study_curves(table)
    rises = _rises(study)
    for line in [*table.notes, *_left_out(table, study)]:
        print(line)
    write_json(directory / "emergence.json", scores_json(table, study, rises))
    rows = table.rows
    report = Report(
        title=title or f"Emergence in {path.stem}",
        decision=_decision(study),
        caveats=_left_out(table, study),
        facts=[
            ("models", str(rows["model"].nunique())),
            ("families", str(rows["family"].nunique())),
            ("tasks", str(rows["task"].nunique())),
            ("metrics", str(rows["metric"].nunique())),
            ("curves scored", str(len(study.scores))),
            ("axis", table.axis.label),
        ],
        parts=[Part("Emergence", [_overview(study, table), _tasks(study, table, rises)])],
        command=command,
        provenance=[("scores", str(path)), *[("read as", note) for note in table.notes]],
    )
    return write_report(report, directory)


def scores_json(
    table: ScoreRows, study: CurveStudy, rises: dict[int, Transition]
) -> dict[str, Any]:
    """All numbers of the report: how the table was read, every curve, every exclusion."""
    curves = [
        {
            **{name: getattr(one.curve, name) for name in ("task", "metric", "family", "split")},
            "n_shots": one.curve.n_shots,
            "target_length": one.curve.target_length,
            "n_scales": len(one.curve.x),
            "n_seeds": one.curve.n_seeds,
            "chance_level": one.curve.chance,
            "low": float(one.curve.y.min()),
            "high": float(one.curve.y.max()),
            "score": one.score,
            "ramp_score": len(one.curve.x) - 1,
            "noise_q95": one.chance.q95,
            "p_noise": one.chance.p_value,
            "p_order": one.permutation.p_value,
            "q_value": one.q_value,
            "rise": vars(rises[i]) | {"width_decades": rises[i].width} if i in rises else None,
        }
        for i, one in enumerate(study.scores)
    ]
    return plain_json(
        {
            "source": table.source,
            "axis": {"column": table.axis.column, "label": table.axis.label},
            "notes": list(table.notes),
            "rows": len(table.rows),
            "models": table.rows["model"].nunique(),
            "families": table.rows["family"].nunique(),
            "excluded_rows": dict(table.excluded),
            "excluded_curves": [{"curve": name, "reason": why} for name, why in study.excluded],
            "metrics": concentration(study.scores).to_dict("records") if study.scores else [],
            "curves": curves,
        }
    )


def _decision(study: CurveStudy) -> str:
    if not study.scores:
        return (
            f"No curve can be scored: {len(study.excluded)} task, metric and family triplets lack "
            f"{MIN_POINTS} scales or hold rows that must not be averaged; reasons below."
        )
    by_metric = concentration(study.scores)
    clear = sum(by_metric["clear"].tolist())
    if not clear:
        return (
            f"None of {len(study.scores)} curves (task, metric, family) has an emergence score "
            f"that stands out of noise, with false discoveries held at 5 %."
        )
    leading = by_metric.to_dict("records")[0]
    return (
        f"{clear} of {len(study.scores)} curves (task, metric, family) have an emergence score "
        f"that stands out of noise, with false discoveries held at 5 %; "
        f"{name_of(str(leading['metric']))} has {leading['clear']} of them from "
        f"{leading['curves']} curves."
    )


def _left_out(table: ScoreRows, study: CurveStudy) -> list[str]:
    """What was not used: rows by reason, then curves by reason."""
    lines = [f"{n} rows were left out: {reason}." for reason, n in table.excluded.items()]
    reasons: dict[str, list[str]] = {}
    for name, reason in study.excluded:
        # Alike but for their numbers: counted together, the first in full.
        kind = "few" if "a shape needs" in reason else "conflict"
        reasons.setdefault(kind, []).append(f"{name}: {reason}")
    for found in reasons.values():
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        lines.append(f"{len(found)} curves were not scored: {found[0]}{more}.")
    return lines


def _rises(study: CurveStudy) -> dict[int, Transition]:
    """Logistic rises of the clearest curves, by their place in the study."""
    order = sorted(range(len(study.scores)), key=lambda i: _rank(study.scores[i]))
    chosen = [i for i in order if len(study.scores[i].curve.x) > MIN_POINTS][:MOST_RISES]
    return {
        i: fit_transition(study.scores[i].curve.x, study.scores[i].curve.y) for i in sorted(chosen)
    }


def _rank(one: CurveScore) -> tuple[float, float]:
    return (one.q_value, -abs(one.score) if math.isfinite(one.score) else 0.0)


def _overview(study: CurveStudy, table: ScoreRows) -> Section:
    """Scores by metric: Schaeffer et al.'s question whether emergence lies in few metrics."""
    if not study.scores:
        return Section("Which metrics show emergence", [_decision(study)])
    rows = [
        [
            name_of(str(row["metric"])),
            str(row["curves"]),
            number(row["median"]),
            str(row["above"]),
            str(row["clear"]),
            f"{row['share']:.0%}",
        ]
        for row in concentration(study.scores).to_dict("records")
    ]
    columns = ("metric", "curves", "median |score|", "p (noise) < .05", "q < .05", "share of those")
    n_metrics = len(rows)
    text = [
        f"Each curve is one task, metric and family (and number of shots, target length and split, "
        f"where the table has them) over {table.axis.label}. By chance alone about "
        f"{0.05 * len(study.scores):.0f} of {len(study.scores)} would have p < .05; the column "
        f"q < .05 holds false discoveries at 5 % over all {n_metrics} metrics. A score is infinite "
        f"where most steps are exactly 0, and then p is that of the same values in any order. "
        f"If abilities themselves emerged, the metrics of one task would agree; if the metric "
        f"makes the jump, curves that stand out lie in few metrics (Schaeffer et al. "
        f"2023, figure 5)."
    ]
    return Section(
        "Which metrics show emergence",
        text,
        [scores_by_metric_figure(study.scores)],
        [TableSpec("Scores by metric", columns, rows)],
    )


def _tasks(study: CurveStudy, table: ScoreRows, rises: dict[int, Transition]) -> Section:
    figures, n_left = _figures(study, table)
    text = []
    if n_left:
        text.append(
            f"Drawn are the {len(figures)} tasks with the clearest curves; {n_left} more are in "
            f"the table below and in emergence.json. table.filters={{task: NAME}} draws one."
        )
    tables = [_curve_table(study)]
    if rises:
        tables.append(_rise_table(study, rises))
    return Section("Task by task", text, figures, tables)


def _figures(study: CurveStudy, table: ScoreRows) -> tuple[list[FigureSpec], int]:
    """A figure per task, and one per task and family by target length; how many are left out."""
    groups: dict[tuple[str, str], list[CurveScore]] = {}
    lengths = {
        (one.curve.task, one.curve.family)
        for one in study.scores
        if np.isfinite(one.curve.target_length)
    }
    for one in study.scores:
        curve = one.curve
        by_length = (curve.task, curve.family) in lengths and np.isfinite(curve.target_length)
        groups.setdefault((curve.task, curve.family if by_length else ""), []).append(one)
        if by_length:
            groups[curve.task, curve.family] = groups.pop((curve.task, curve.family))
    order = sorted(groups, key=lambda key: min(map(_rank, groups[key])))
    figures = []
    for place, key in enumerate(order[:MOST_FIGURES]):
        curves: list[Curve] = [one.curve for one in groups[key]]
        if not key[1]:
            curves += [c for c in study.short if c.task == key[0] and not c.target_length > 0]
        by_length = len({c.target_length for c in curves if np.isfinite(c.target_length)}) > 1
        title = key[0] + (f", {key[1]}" if key[1] else "")
        title += ", by target length" if by_length else ""
        slug = "".join(c if c.isalnum() else "_" for c in title)[:60]
        figures.append(task_figure(f"scores-{place + 1}-{slug}", title, curves, table.axis))
    return figures, max(0, len(order) - MOST_FIGURES)


def _curve_table(study: CurveStudy) -> TableSpec:
    rows = [
        [
            one.curve.task,
            name_of(one.curve.metric),
            one.curve.variant,
            str(len(one.curve.x)),
            f"{number(float(one.curve.y.min()))} to {number(float(one.curve.y.max()))}",
            number(one.curve.chance),
            number(one.score),
            number(one.chance.q95),
            f"{one.chance.p_value:.2g}",
            f"{one.permutation.p_value:.2g}",
            f"{one.q_value:.2g}",
        ]
        for one in sorted(study.scores, key=_rank)
    ]
    columns = ("task", "metric", "family and variant", "scales", "range", "chance", "score",
               "noise, 95 %", "p (noise)", "p (order)", "q")  # fmt: skip
    return TableSpec("Every task, metric and family", columns, rows, sortable=True)


def _rise_table(study: CurveStudy, rises: dict[int, Transition]) -> TableSpec:
    rows = []
    for i in sorted(rises, key=lambda i: _rank(study.scores[i])):
        curve, rise = study.scores[i].curve, rises[i]
        seen = rise.status == "converged"
        rows.append([
            curve.task,
            name_of(curve.metric),
            curve.variant,
            count_label(rise.threshold) if math.isfinite(rise.threshold) else "–",
            f"{rise.width:.2f}" if math.isfinite(rise.width) else "–",
            "whole" if seen else "in part" if rise.status == "bound_hit" else "constant",
        ])  # fmt: skip
    columns = ("task", "metric", "family and variant", "rise centred at", "width, decades", "seen")
    return TableSpec(f"Where the {len(rows)} clearest curves rise", columns, rows)
