"""Predicted losses in words, a table and fits.json: isoflop predict RUNS n_params= n_tokens=."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.studies.questions.prediction import LossPrediction, disagreement
from analysis.studies.study import Study

TITLE = "Predicted losses"


def prediction_section(study: Study, made: Sequence[LossPrediction]) -> Section:
    """One row per law and run, with both intervals and the distance from the runs."""
    measured = any(np.isfinite(one.point.measured) for one in made)
    columns = ["N", "D", "C (FLOPs)", "law", "loss", "95 %, law", "95 %, a run", "beyond the runs",
               *(["measured", "error"] if measured else []), "note"]  # fmt: skip
    rows = [_row(one, measured) for one in made]
    unit = study.config.loss_unit
    text = (
        f"Losses in {unit}. The first interval is of the law's mean, over resamples of the runs; "
        f"the second is of one more run, with the noise of a run. Neither knows whether the form "
        f"of the law holds beyond the runs: the laws' disagreement is a hint of that."
    )
    return Section(TITLE, [text, *disagreements(made)], [], [TableSpec(TITLE, columns, rows)])


def printed(made: Sequence[LossPrediction]) -> list[str]:
    """Lines for the terminal."""
    lines = []
    for one in made:
        where = f"{count_label(one.point.n_params)} on {count_label(one.point.n_tokens)} tokens"
        if one.reason:
            lines.append(f"{where}, {one.approach}: no prediction ({one.reason})")
            continue
        noise = f"noise of a run {100 * one.noise:.2g} %, from {one.noise_from}"
        measured = (
            f"; measured {number(one.point.measured, 4)}, error {100 * one.error:+.2g} %"
            if np.isfinite(one.point.measured)
            else ""
        )
        law = one.approach if one.decides else f"{one.approach} (to compare)"
        lines.append(
            f"{where}, {law}: loss {number(one.loss, 4)}, 95 % of the law "
            f"{span(one.confidence, 4)}, of a run {span(one.prediction, 4)} ({noise})"
            f"{_outside(one)}{measured}"
        )
    return [*lines, *disagreements(made)]


def disagreements(made: Sequence[LossPrediction]) -> list[str]:
    """By how much the laws differ on each run."""
    said = []
    for point, group in groupby(made, key=lambda one: one.point):
        gap = disagreement(list(group))
        if np.isfinite(gap):
            said.append(
                f"For {count_label(point.n_params)} on {count_label(point.n_tokens)} tokens the "
                f"laws disagree by {100 * gap:.2g} %."
            )
    return said


def predictions_json(made: Sequence[LossPrediction]) -> list[dict[str, Any]]:
    return [one.to_json() for one in made]


def _outside(one: LossPrediction) -> str:
    if not one.beyond:
        return ""
    factors = ", ".join(f"{name} by {number(f, 2)} times" for name, f in one.beyond.items())
    return f"; an extrapolation in {factors}"


def _row(one: LossPrediction, measured: bool) -> list[str]:
    outside = ", ".join(f"{name} x {number(f, 2)}" for name, f in one.beyond.items())
    error = f"{100 * one.error:+.2f} %" if np.isfinite(one.error) else "–"
    return [
        count_label(one.point.n_params),
        count_label(one.point.n_tokens),
        number(one.flops),
        one.approach,
        number(one.loss, 4),
        span(one.confidence, 4),
        span(one.prediction, 4),
        outside or "–",
        *([number(one.point.measured, 4), error] if measured else []),
        one.reason or ("" if one.decides else "to compare"),
    ]
