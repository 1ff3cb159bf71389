"""What stands in the report, in which order: the one list to which a new section is added.

A builder takes the `ReportInputs` of an analysis, studies it once and returns a `Chapter`:
sections, JSON and printed lines of one result. Nothing here, and no section, writes or prints. A
section lives in a module of its own and its builder is named once, below.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.config import AnalysisConfig, PredictConfig
from analysis.data.loss_column import with_loss
from analysis.data.loss_table import LossTable, select
from analysis.data.reading.curve_points import sweep_points
from analysis.data.reading.points import read_points
from analysis.emergence.abilities import abilities
from analysis.emergence.study import study_all
from analysis.errors import FitError
from analysis.fits.envelope import fit_envelope
from analysis.report.document import Part, Section
from analysis.report.run_table import RunTable
from analysis.sections import (
    appendix,
    emergence,
    irreducible_loss,
    recipes,
    recovery,
    text_loss,
    validation,
)
from analysis.sections import fits as sections
from analysis.sections.min_loss import min_loss_section
from analysis.sections.questions import curves, multiplier, prediction, tuning
from analysis.studies.allocation import AllocationRow
from analysis.studies.curves.ends import end_envelope
from analysis.studies.curves.study import curves_of, study_curves
from analysis.studies.fits_json import plain
from analysis.studies.irreducible_loss import study_irreducible_loss
from analysis.studies.multiplier.recipes import recipe_multipliers
from analysis.studies.questions.prediction import Point, predict_losses
from analysis.studies.recipes import study_recipes
from analysis.studies.study import Study
from analysis.studies.tuning.study import is_swept, study_tuning

FEWEST_CURVES = 3
"""Runs whose whole curves are worth a law."""


@dataclass(frozen=True)
class ReportInputs:
    """All that a builder may draw on: what was asked for, every run read, the fits, the advice.

    `everything` holds the runs before the fit's own selection, `book` what the page tells of each.
    """

    config: AnalysisConfig
    everything: LossTable
    study: Study
    advice: list[AllocationRow]
    book: RunTable


@dataclass(frozen=True)
class Chapter:
    """What one result gives: sections, JSON content by file name, lines for the terminal, and what
    fits.json says of it.
    """

    sections: Sequence[Section] = ()
    files: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """All chapters of a report: its parts, the files that lie beside it, the printed lines, and
    what they add to fits.json.
    """

    parts: list[Part]
    files: dict[str, Any]
    lines: list[str]
    numbers: dict[str, Any]


Builder = Callable[[ReportInputs], Chapter]


def contents(inputs: ReportInputs) -> Contents:
    """Every builder's chapter, in order; parts without a section are left out."""
    made = {title: [build(inputs) for build in builders] for title, builders in PARTS}
    parts = [
        Part(title, [section for chapter in chapters for section in chapter.sections])
        for title, chapters in made.items()
    ]
    chapters = [chapter for found in made.values() for chapter in found]
    return Contents(
        [part for part in parts if part.sections],
        {name: plain(held) for chapter in chapters for name, held in chapter.files.items()},
        [line for chapter in chapters for line in chapter.lines],
        {name: plain(held) for chapter in chapters for name, held in chapter.numbers.items()},
    )


def _fits(inputs: ReportInputs) -> Chapter:
    return Chapter(sections.study_sections(inputs.study, inputs.advice))


def _least_loss(inputs: ReportInputs) -> Chapter:
    section = min_loss_section(inputs.study)
    return Chapter([section] if section is not None else [])


def _predictions(inputs: ReportInputs) -> Chapter:
    """Losses of runs that were asked for."""
    points = [Point(*map(float, row)) for row in asked_points(inputs.config.predict)]
    if not points:
        return Chapter()
    made = predict_losses(inputs.study, points)
    return Chapter(
        [prediction.prediction_section(inputs.study, made)],
        lines=prediction.printed(made),
        numbers={"predictions": prediction.predictions_json(made)},
    )


def asked_points(asked: PredictConfig) -> list[tuple[float, float, float]]:
    """N, D and measured loss of the runs to predict, by settings and by table."""
    listed = [(n, d, float("nan")) for n, d in asked.pairs]
    if asked.table is None:
        return listed
    return [*listed, *map(tuple, read_points(Path(asked.table)).tolist())]


def _emergence(inputs: ReportInputs) -> Chapter:
    """Abilities over scale, where checkpoints were evaluated."""
    table = inputs.everything
    if not len(table.evals):
        return Chapter()
    texts = text_loss.text_sections(table.evals, table.runs)
    asked = table.evals.loc[table.evals["task"] != text_loss.TEXT]
    if not len(asked):
        return Chapter(texts)
    studies = study_all(abilities(asked, table.runs))
    return Chapter(
        [emergence.emergence_section(studies), *texts],
        {"emergence.json": emergence.emergence_json(studies)},
    )


def _tested(inputs: ReportInputs) -> Chapter:
    """Predictions that were put to the test, where any were."""
    study, config = inputs.study, inputs.config
    made = validation.validations(study, config.sweeps, config.counting)
    if not made:
        return Chapter()
    return Chapter(
        [validation.validation_section(study, test, index) for index, test in enumerate(made)],
        {"validation.json": validation.validation_json(made)},
        [line for test in made for line in validation.printed(test)],
    )


def _ground_truth(inputs: ReportInputs) -> Chapter:
    """Fitted irreducible losses against the entropy, where the data's entropy is known."""
    study = inputs.study
    try:
        made = study_irreducible_loss(study.table, study.config, study.runs.counting)
    except FitError as error:
        return Chapter([Section(irreducible_loss.TITLE, [f"Not compared: {error}."])])
    if made is None:
        return Chapter()
    return Chapter(
        [irreducible_loss.entropy_section(study, made)],
        {"entropy.json": irreducible_loss.entropy_json(made)},
        [irreducible_loss.conclusion(study, made)],
    )


def _recovered(inputs: ReportInputs) -> Chapter:
    """Estimates against the truth, where the runs are simulated."""
    found = recovery.recoveries(inputs.study)
    if found is None:
        return Chapter()
    rows, said = found
    files = {"recovery.json": recovery.recovery_json(rows)}
    return Chapter([recovery.recovery_section(rows, said)], files, [said])


def _recipes(inputs: ReportInputs) -> Chapter:
    """Recipes side by side, where grids train the same cells in other ways."""
    config = inputs.config
    order = recipes.planned_order(inputs.everything.sources)
    made = study_recipes(inputs.everything, config.fit, config.counting, order)
    if made is None:
        return Chapter()
    files = {"recipes.json": recipes.recipes_json(made)}
    return Chapter([recipes.recipe_section(made)], files, recipes.printed(made))


def _tuning(inputs: ReportInputs) -> Chapter:
    """Optimal learning rates and batches, where cells were swept over them."""
    fit = inputs.config.fit
    table = with_loss(inputs.everything, fit.loss)
    table = select(table, fit.data, fit.grid, fit.where, best_of=[])
    if not is_swept(table):
        return Chapter()
    made = study_tuning(table, seed=fit.seed)
    said = tuning.conclusion(made)
    return Chapter([tuning.tuning_section(made)], lines=[said], numbers={"tuning": made.to_json()})


def _curves(inputs: ReportInputs) -> Chapter:
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
        return Chapter([Section(curves.TITLE, [f"No law of whole curves: {error}."])])
    sections, reason, ends = [curves.curve_section(made)], "", None
    names = [str(name) for name in study.table.texts("run_id")]
    try:
        ends = end_envelope(made, study.runs, names)
        inside = fit_envelope(study.data.curves, inputs.config.fit.envelope).points
        sections.append(curves.envelope_section(inside, ends, inputs.config.fit.loss_unit))
    except FitError as error:
        reason = str(error)
    said = [curves.conclusion(made)]
    return Chapter(sections, lines=said, numbers={"curves": curves.curves_json(made, ends, reason)})


def _multipliers(inputs: ReportInputs) -> Chapter:
    """What each recipe is worth over the first in compute, where a sweep has several."""
    config = inputs.config
    order = recipes.planned_order(inputs.everything.sources)
    made = recipe_multipliers(inputs.everything, config.fit, config.counting, order)
    if not made:
        return Chapter()
    return Chapter(
        [multiplier.recipe_section(made, config.fit.loss_unit)],
        lines=[multiplier.conclusion(names, found) for names, found in made.items()],
        numbers={"multipliers": multiplier.recipes_json(made)},
    )


def _left_out(inputs: ReportInputs) -> Chapter:
    section = sections.holdout_section(inputs.study)
    return Chapter([section] if section is not None else [])


def _runs(inputs: ReportInputs) -> Chapter:
    return Chapter([sections.runs_section(inputs.study), appendix.runs(inputs.book)])


def _exclusions(inputs: ReportInputs) -> Chapter:
    return Chapter([appendix.exclusions(inputs.study)])


PARTS: tuple[tuple[str, tuple[Builder, ...]], ...] = (
    ("Fits", (_fits, _least_loss, _predictions, _recipes, _multipliers, _tuning, _curves)),
    ("Emergence", (_emergence,)),
    ("Validation", (_tested, _ground_truth, _recovered, _left_out)),
    ("Runs", (_runs,)),
    ("Exclusions", (_exclusions,)),
)
"""Part by part, the builders of the report's sections. Provenance follows at the page's foot."""
