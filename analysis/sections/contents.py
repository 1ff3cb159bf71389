"""What stands in the report, in which order: the one list to which a new section is added.

A builder takes the `ReportInputs` of an analysis, studies it once and returns a `Chapter`:
sections, JSON and printed lines of one result. Nothing here, and no section, writes or prints. A
section lives in a module of its own and its builder is named once, below.
"""

from dataclasses import dataclass
from typing import Any

from analysis.emergence.abilities import abilities
from analysis.emergence.study import study_all
from analysis.errors import FitError
from analysis.report.document import Part, Section
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
from analysis.sections.chapter import Builder, Chapter, ReportInputs
from analysis.sections.min_loss import min_loss_section
from analysis.sections.questions import multiplier, prediction
from analysis.sections.questions.ability import ability_chapter
from analysis.sections.questions.curves import curves_chapter
from analysis.sections.questions.forms import forms_chapter
from analysis.sections.questions.minima import line_chapter
from analysis.sections.questions.points import asked_points
from analysis.sections.questions.serving import serving_chapter
from analysis.sections.questions.sparsity import sparsity_chapter
from analysis.sections.questions.tuning import tuning_chapter
from analysis.studies.fits_json import plain
from analysis.studies.irreducible_loss import study_irreducible_loss
from analysis.studies.multiplier.recipes import recipe_multipliers
from analysis.studies.questions.prediction import Point, predict_losses
from analysis.studies.recipes import study_recipes


@dataclass(frozen=True)
class Contents:
    """All chapters of a report: its parts, the files that lie beside it, the printed lines, and
    what they add to fits.json.
    """

    parts: list[Part]
    files: dict[str, Any]
    lines: list[str]
    numbers: dict[str, Any]


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
    return Chapter(
        sections.study_sections(inputs.study, inputs.advice, inputs.config.allocation.flops)
    )


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
    return Chapter([sections.runs_section(inputs.study), appendix.runs(inputs.book, inputs.study)])


def _exclusions(inputs: ReportInputs) -> Chapter:
    return Chapter([appendix.exclusions(inputs.study)])


PARTS: tuple[tuple[str, tuple[Builder, ...]], ...] = (
    (
        "Fits",
        (
            _fits,
            _least_loss,
            line_chapter,
            serving_chapter,
            sparsity_chapter,
            _predictions,
            _recipes,
            _multipliers,
            tuning_chapter,
            curves_chapter,
        ),
    ),
    ("Emergence", (_emergence, ability_chapter)),
    ("Validation", (_tested, _ground_truth, _recovered, _left_out, forms_chapter)),
    ("Runs", (_runs,)),
    ("Exclusions", (_exclusions,)),
)
"""Part by part, the builders of the report's sections. Provenance follows at the page's foot."""
