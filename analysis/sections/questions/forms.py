"""Which form predicts best, in words and tables: isoflop analyze RUNS forms.by=flops."""

from typing import Any

import numpy as np

from analysis.errors import FitError
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.questions.forms import class_labels, forms_figure
from analysis.format import count_label, number
from analysis.report.document import Section, TableSpec
from analysis.sections.chapter import Chapter, ReportInputs
from analysis.sections.questions.points import asked_points
from analysis.studies.forms.averaging import AVERAGE, CHOSEN
from analysis.studies.forms.rolling import DISTANCES
from analysis.studies.forms.study import USUAL, FormStudy, study_forms
from analysis.studies.questions.prediction import Point

TITLE = "Which form of the law predicts best"


def forms_chapter(inputs: ReportInputs) -> Chapter:
    """The rolling hold-out, where it was asked for."""
    by = inputs.config.forms.by
    if by is None:
        return Chapter()
    points = [Point(*map(float, row)) for row in asked_points(inputs.config.predict)]
    try:
        made = study_forms(inputs.study, by, points)
    except FitError as error:
        return Chapter([Section(TITLE, [f"Not answered: {error}."])], lines=[f"{TITLE}: {error}"])
    return Chapter([forms_section(made)], lines=printed(made), numbers={"forms": forms_json(made)})


def forms_section(made: FormStudy) -> Section:
    """Errors by form, objective and distance, with a figure."""
    what = "budgets" if made.rolling.by == "flops" else "sizes"
    text = (
        f"Every form is fitted to the smaller {what} and asked for the larger, step by step: "
        f"{len(made.rolling.cuts)} step(s), the first fitted to two groups of runs. Errors are "
        f"rms of log predicted over measured loss and hold the noise of a run. The average weighs "
        f"each form by its errors at earlier steps alone, and '{CHOSEN}' takes the form that "
        f"was best at earlier steps, so that neither has seen what it is judged by; the least "
        f"error of the table is known by hindsight only. The other sections stay with approach 3 "
        f"as it is set."
    )
    figure = FigureSpec(
        "forms",
        forms_figure(made),
        "Errors of the next group of runs against the largest compute fitted, one line per form, "
        "and errors against the distance beyond the fitted runs.",
        "Errors of runs that were left out, by form (Huber, log) and averaged over all forms and "
        "objectives.",
    )
    tables = [_errors(made)]
    if made.predictions:
        tables.append(_predictions(made))
    return Section(TITLE, [text, conclusion(made)], [figure], tables)


def conclusion(made: FormStudy) -> str:
    """The averages beside the usual form, and the best by hindsight."""
    usual, average, chosen = (made.find(name) for name in (USUAL, AVERAGE, CHOSEN))
    n_steps = len(made.rolling.cuts)
    steps = f"over {n_steps - 1} steps after the first" if n_steps > 1 else "in one step"
    said = (
        f"Runs of the next group up, left out, are predicted {steps} to (rms): "
        f"{USUAL} {_percent(usual.following)}, {AVERAGE} {_percent(average.following)}"
    )
    if np.isfinite(chosen.following):
        said += f", {CHOSEN} {_percent(chosen.following)}"
    return (
        f"{said}; the best of all forms, known only afterwards, is {made.best.name} with "
        f"{_percent(made.best.following)}."
    )


def printed(made: FormStudy) -> list[str]:
    """Lines for the terminal."""
    lines = [f"forms: {conclusion(made)}"]
    for one in made.predictions:
        where = f"{count_label(one.point.n_params)} on {count_label(one.point.n_tokens)} tokens"
        low, high = min(one.losses.values()), max(one.losses.values())
        said = (
            f"rms error at such a distance {_percent(one.error)}"
            if np.isfinite(one.error)
            else "no step went as far, so its error is not known"
        )
        lines.append(
            f"{where}, average of forms: loss {number(one.average, 4)} (forms {number(low, 4)} to "
            f"{number(high, 4)}; {said})"
        )
    return lines


def forms_json(made: FormStudy) -> dict[str, Any]:
    """The hold-out as fits.json has it."""
    return {
        "by": made.rolling.by,
        "cuts": made.rolling.cuts,
        "distances": DISTANCES[:-1],
        "errors": [vars(row) for row in made.rows],
        "predictions": [{**vars(one), "point": vars(one.point)} for one in made.predictions],
    }


def _errors(made: FormStudy) -> TableSpec:
    shown = [i for i in range(len(DISTANCES) - 1) if _reached(made, i)]
    columns = ["form and objective", "next group", "all steps",
               *(f"factor {class_labels()[i]}" for i in shown),
               "weight", "note"]  # fmt: skip
    rows = [
        [
            row.name,
            _percent(row.following),
            ", ".join(_plain(e) for e in row.steps),
            *(_percent(row.by_distance[i]) for i in shown),
            number(row.weight, 2),
            row.reason,
        ]
        for row in made.rows
    ]
    return TableSpec("Errors of runs left out, the least first", columns, rows)


def _reached(made: FormStudy, place: int) -> bool:
    return any(np.isfinite(row.by_distance[place]) for row in made.rows)


def _predictions(made: FormStudy) -> TableSpec:
    columns = ["N", "D", "average of forms", "least form", "largest form", "beyond by",
               "rms error there", "measured", "error"]  # fmt: skip
    rows = []
    for one in made.predictions:
        measured = one.point.measured
        rows.append([
            count_label(one.point.n_params),
            count_label(one.point.n_tokens),
            number(one.average, 4),
            *(f"{number(f(one.losses.values()), 4)}" for f in (min, max)),
            f"{number(one.factor, 2)} x",
            _percent(one.error),
            number(measured, 4),
            f"{100 * (one.average / measured - 1):+.2f} %" if np.isfinite(measured) else "–",
        ])  # fmt: skip
    return TableSpec("Predictions by all forms", columns, rows)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %" if np.isfinite(value) else "–"


def _plain(value: float) -> str:
    return f"{100 * value:.2f}" if np.isfinite(value) else "–"
