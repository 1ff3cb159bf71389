"""Abilities in two steps, in words and a table: isoflop predict RUNS ability.tasks=[all]."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.questions.ability import ability_figure
from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.sections.chapter import Chapter, ReportInputs
from analysis.sections.questions.points import asked_points
from analysis.studies.ability.points import AbilityPoints, ability_points, chosen
from analysis.studies.ability.two_steps import (
    AbilityPrediction,
    TwoSteps,
    fit_two_steps,
    predict_ability,
)
from analysis.studies.questions.prediction import Point

TITLE = "Abilities, in two steps"


def ability_chapter(inputs: ReportInputs) -> Chapter:
    """Both steps of every task that was asked for, and its predictions."""
    asked, study = inputs.config.ability, inputs.study
    if not asked.tasks:
        return Chapter()
    evals = inputs.everything.evals
    names = (asked.loss, asked.accuracy)
    fitted = chosen(ability_points(study.table, evals, *names), asked.tasks)
    everything = fitted if len(evals) else ability_points(inputs.everything, evals, *names)
    made = [
        fit_two_steps(points, study.config, asked.second, asked.chance.get(task))
        for task, points in fitted.items()
    ]
    points = [Point(*map(float, row)) for row in asked_points(inputs.config.predict)]
    predictions = [
        predict_ability(one, point, study.config.seed, _measured(one, everything, point))
        for point in points
        for one in made
    ]
    return Chapter(
        [ability_section(made, predictions)],
        lines=printed(made, predictions),
        numbers={"abilities": abilities_json(made, predictions)},
    )


def ability_section(made: Sequence[TwoSteps], predictions: Sequence[AbilityPrediction]) -> Section:
    """The steps, the predictions, and a panel for each task."""
    text = (
        "First step: the loss of a task's right answers as a law of N and D (of N alone where all "
        "points have one D). Second step: accuracy as a function of that loss, by a sigmoid whose "
        "lower end is chance where that is known, or by independent tokens, bottom + (1 - bottom) "
        "exp(-L x). Both steps are resampled together over runs; the interval of a run adds the "
        "scatter about both. The direct law is of the error rate in N and D, and is given no "
        "interval, since resampled ones do not hold. Neither interval "
        "knows whether the second step keeps its shape beyond the losses that were seen."
    )
    figures = []
    if any(one.second is not None for one in made):
        figures = [
            FigureSpec(
                "abilities",
                ability_figure(made, predictions),
                "Accuracy against the loss of the answers, one panel per task: points, the fitted "
                "second step with its band, and predictions with intervals.",
                "Accuracy against the loss of the right answers (band: 95 %; dashed: the step is "
                "not used).",
            )
        ]
    tables = [_steps(made)]
    if predictions:
        tables.append(_predictions(predictions))
    return Section(TITLE, [text], figures, tables)


def printed(made: Sequence[TwoSteps], predictions: Sequence[AbilityPrediction]) -> list[str]:
    """Lines for the terminal."""
    lines = [f"ability {one.task}: {one.reason}" for one in made if one.reason]
    for one in predictions:
        where = f"{count_label(one.point.n_params)} on {count_label(one.point.n_tokens)} tokens"
        if not np.isfinite(one.accuracy):
            if not any(one.task == other.task and other.reason for other in made):
                lines.append(f"{where}, {one.task}: no prediction ({one.reason})")
            continue
        outside = "".join(f", {name} by {number(f, 2)} times" for name, f in one.beyond.items())
        measured = (
            f"; measured {one.measured:.3f}, error {100 * one.error:+.1f} %"
            if np.isfinite(one.measured)
            else ""
        )
        lines.append(
            f"{where}, {one.task}: loss {number(one.loss, 4)}, accuracy {one.accuracy:.3f}, 95 % "
            f"of the law {span(one.confidence)}, of a run {span(one.run)}; direct law "
            f"{number(one.direct)}{'; an extrapolation' + outside if outside else ''}{measured}"
        )
    return lines


def abilities_json(
    made: Sequence[TwoSteps], predictions: Sequence[AbilityPrediction]
) -> dict[str, Any]:
    """Steps and predictions as fits.json has them."""
    steps = {
        one.task: {
            "loss": one.points.loss_name,
            "accuracy": one.points.accuracy_name,
            "n_points": len(one.points),
            "first": _first_json(one),
            "second": None
            if one.second is None
            else {"kind": one.second.kind, **one.second.parameters, "rms": one.second.rms},
            "reason": one.reason,
            "direct_reason": one.direct_reason,
        }
        for one in made
    }
    return {"steps": steps, "predictions": [one.to_json() for one in predictions]}


def _first_json(made: TwoSteps) -> dict[str, Any] | None:
    if made.first is None:
        return None
    names = ("E", "A", "B", "alpha", "beta")
    surface = {name: float(getattr(made.first.surface, name)) for name in names}
    return {**surface, "n_tokens": made.first.tokens, "sd": made.first.sd}


def _measured(made: TwoSteps, everything: dict[str, AbilityPoints], point: Point) -> float:
    """Accuracy of a run of the table that was not fitted and is the one asked for; else NaN."""
    own = everything.get(made.task)
    if own is None or own is made.points:
        return float("nan")
    same = np.isclose(own.n_params, point.n_params, rtol=1e-3)
    same &= np.isclose(own.n_tokens, point.n_tokens, rtol=1e-3)
    fitted = np.isclose(made.points.n_params, point.n_params, rtol=1e-3) & np.isclose(
        made.points.n_tokens, point.n_tokens, rtol=1e-3
    )
    return float(own.accuracy[same].mean()) if same.any() and not fitted.any() else float("nan")


def _steps(made: Sequence[TwoSteps]) -> TableSpec:
    columns = ["task", "points", "first step: scatter", "second step", "its scatter", "note"]
    rows = [
        [
            one.task,
            str(len(one.points)),
            "–" if one.first is None else f"{100 * one.first.sd:.2g} %",
            "–"
            if one.second is None
            else ", ".join(f"{name} {number(v)}" for name, v in one.second.parameters.items()),
            "–" if one.second is None else number(one.second.sd, 2),
            one.reason or (f"direct law: {one.direct_reason}" if one.direct_reason else ""),
        ]
        for one in made
    ]
    return TableSpec("Steps", columns, rows)


def _predictions(predictions: Sequence[AbilityPrediction]) -> TableSpec:
    columns = ["task", "N", "D", "loss", "95 %", "accuracy", "95 %, law", "95 %, a run",
               "direct law", "beyond the points", "measured", "error", "note"]  # fmt: skip
    rows = []
    for one in predictions:
        outside = ", ".join(f"{name} x {number(f, 2)}" for name, f in one.beyond.items())
        error = f"{100 * one.error:+.1f} %" if np.isfinite(one.error) else "–"
        rows.append([
            one.task, count_label(one.point.n_params), count_label(one.point.n_tokens),
            number(one.loss, 4), span(one.loss_interval), number(one.accuracy),
            span(one.confidence), span(one.run), number(one.direct),
            outside or "–", number(one.measured), error, one.reason,
        ])  # fmt: skip
    return TableSpec("Predicted accuracies", columns, rows)
