"""Whole loss curves in words, tables and figures: isoflop curves, and the report of a sweep."""

from pathlib import Path
from typing import Any

import numpy as np

from analysis.data.reading.curve_points import sweep_points
from analysis.data.run_arrays import Curves
from analysis.errors import FitError
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.questions.curves import draw_curves, draw_envelopes
from analysis.fits.envelope import fit_envelope
from analysis.format import count_label, number
from analysis.report.document import Section, TableSpec
from analysis.sections.chapter import Chapter, ReportInputs
from analysis.studies.curves.ends import EndEnvelope, end_envelope
from analysis.studies.curves.study import (
    FARTHEST,
    FEWEST_LEFT_OUT,
    CurveError,
    CurveStudy,
    curves_of,
    study_curves,
)

TITLE = "Whole loss curves"

DESCRIBED = 0.9
"""Least share of each curve's variance, noise left aside, of a law that is said to describe it."""

FEWEST_CURVES = 3
"""Runs whose whole curves are worth a law."""


def conclusion(study: CurveStudy) -> str:
    """How well the law does, on its own curves and on others, or why it may not be used."""
    if study.objections:
        return f"No law of whole curves: {'; '.join(study.objections)}."
    fitted = [one for one in study.errors if one.fitted]
    others = [one for one in study.errors if not one.fitted]
    misses = sum(one.explained < DESCRIBED for one in fitted)
    of = f"{misses} of {len(fitted)}" if misses else str(len(fitted))
    does = "misses" if misses else "describes"
    said = f"One law {does} {of} curves under their schedules ({_errors(fitted)})"
    if not others:
        return f"{said}."
    return f"{said} and predicts {len(others)} others ({_errors(others)})."


def ends_interval(study: CurveStudy) -> str:
    """How far off the ends of other curves may be, or why that is not known."""
    if not np.isfinite(study.end_half_width):
        return (
            f"The ends of other curves have no interval: it takes {FEWEST_LEFT_OUT} curves that "
            f"others of their size predict."
        )
    return (
        f"The end of another curve of these sizes and lengths is predicted to within "
        f"{study.end_half_width:.2%} (95 %, from laws that were fitted without the curves they "
        f"predict); beyond {FARTHEST:g} times the longest it has no interval."
    )


def curve_section(study: CurveStudy, unit: str = "nats/token") -> Section:
    """The law, a figure of curves, and the errors of each."""
    law = study.law
    text = [conclusion(study)]
    if study.n_left_out:
        text.append(f"{study.n_left_out} more curves were left out of the fit, evenly chosen.")
    text.append(ends_interval(study))
    text.append(
        f"L = level(N) + {number(law.A)} S^-{number(law.shape.alpha)} less what falls of the rate "
        f"have gained, up to {number(law.B)} {unit} for a fall to nothing; S is the age in tokens "
        f"at the peak rate, in units of {count_label(law.unit)}. A fall takes effect as "
        f"1 - (1 + {number(law.shape.C)} x)^-{number(law.shape.beta)} in the age x since, at a "
        f"lower rate r later by r^-{number(law.shape.gamma)}. Status: {law.status}. Relative "
        f"residuals have an rms of {number(law.rms)} over {law.n_points:,} thinned points."
    )
    rows = [_row(one) for one in study.errors]
    columns = ["run", "used", "R2", "R2 less noise", "mean error", "end, relative"]
    figure = FigureSpec(
        "whole_curves",
        draw_curves(study, unit),
        "Losses of some runs along training as points, the law of whole curves as lines through "
        "them.",
        "Some of the curves, behind the warm-up; all runs share the law but for the level of "
        "their size.",
    )
    return Section(TITLE, text, [figure], [TableSpec("Errors by curve", columns, rows, True)])


def envelope_section(inside: Curves, made: EndEnvelope, unit: str) -> Section:
    """Approach 1 on ends beside approach 1 on losses inside schedules."""
    sizes = len(np.unique(made.fit.n_params))
    text = (
        f"Losses inside a decaying schedule lie above those of a run that ends there. By the law "
        f"of whole curves and the runs' final losses, ends of all lengths have the envelope's "
        f"exponent a = {number(made.fit.a)}, over {sizes} sizes, without an interval: on few sizes "
        f"an envelope's exponent is off by more than resampled runs show."
    )
    figure = FigureSpec(
        "end_envelope",
        draw_envelopes(inside, made.fit.points, unit),
        "Least loss against compute: inside schedules, and of runs that ended.",
        "The envelope of the curves, and that of the ends that each size's schedule, stretched to "
        "other lengths, would come to.",
    )
    return Section("The envelope of ends", [text, _loss(made, unit)], [figure])


def curves_json(study: CurveStudy, made: EndEnvelope | None, reason: str) -> dict[str, Any]:
    """What fits.json says of whole curves."""
    ends: dict[str, Any] = {"reason": reason}
    if made is not None:
        ends = {"a": made.fit.a, "b": made.fit.b, "intervals": {},
                "status": made.fit.status, "reason": made.fit.reason}  # fmt: skip
    return {**study.to_json(), "end_envelope": ends}


def curves_chapter(inputs: ReportInputs) -> Chapter:
    """The law of whole curves, and approach 1 on the ends that it predicts."""
    study, directories = inputs.study, [Path(source) for source in inputs.everything.sources]
    if study.data.curves is None or not all(path.is_dir() for path in directories):
        return Chapter()
    found = curves_of(study.table, sweep_points(directories))
    if len(found) < FEWEST_CURVES:
        return Chapter()
    try:
        made = study_curves(found)
    except FitError as error:
        return Chapter([Section(TITLE, [f"No law of whole curves: {error}."])])
    sections, reason, ends = [curve_section(made)], "", None
    names = [str(name) for name in study.table.texts("run_id")]
    try:
        ends = end_envelope(made, study.runs, names)
        inside = fit_envelope(study.data.curves, inputs.config.fit.envelope).points
        sections.append(envelope_section(inside, ends, inputs.config.fit.loss_unit))
    except FitError as error:
        reason = str(error)
    numbers = {"curves": curves_json(made, ends, reason)}
    return Chapter(sections, lines=[conclusion(made)], numbers=numbers)


def _loss(made: EndEnvelope, unit: str) -> str:
    if made.law is None:
        return f"No law of the least loss: {made.reason}."
    top = float(made.fit.flops.max())
    return f"Its least loss at {number(top)} FLOPs is {number(float(made.law(top)), 4)} {unit}."


def _errors(errors: list[CurveError]) -> str:
    # Less noise: the scatter of single batches is no fault of the law, and lowers R2 alone.
    least = min(one.explained for one in errors)
    mean = float(np.mean([one.mean_error for one in errors]))
    worst = max(errors, key=lambda one: one.mean_error)
    at_most = f" (at most {number(worst.mean_error, 2)}: {worst.name})" if len(errors) > 1 else ""
    ends = float(np.sqrt(np.mean([one.end_error**2 for one in errors])))
    return (
        f"R2 less noise at least {number(least, 4)}, mean error {number(mean, 2)}{at_most}, ends "
        f"off by {ends:.2%} rms"
    )


def _row(one: CurveError) -> list[str]:
    return [
        one.name,
        "fitted" if one.fitted else "predicted",
        number(one.r2, 4),
        number(one.explained, 4),
        number(one.mean_error, 2),
        f"{one.end_error:+.2%}",
    ]
