"""What stands in the report, in which order: the one list to which a new section is added.

A builder takes the `Material` of an analysis and returns the sections that it has to show, none
where there is nothing to say. It lives in a module of its own and is named once, below.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.config import AnalysisConfig
from analysis.data.loss_table import LossTable
from analysis.errors import FitError
from analysis.report.document import Part, Section
from analysis.report.run_table import RunBook
from analysis.sections import appendix
from analysis.sections import fits as sections
from analysis.sections.min_loss import least_loss_section
from analysis.studies.allocation import Advice
from analysis.studies.fits_json import plain
from analysis.studies.study import Study
from train.rundir.atomic import write_json


@dataclass(frozen=True)
class Material:
    """All that a section may draw on: what was asked for, every run read, the fits, the advice.

    `everything` holds the runs before the fit's own selection, `book` what the page tells of each;
    `directory` is where the report goes, for builders that leave a JSON file there.
    """

    config: AnalysisConfig
    everything: LossTable
    study: Study
    advice: list[Advice]
    directory: Path
    book: RunBook


Builder = Callable[[Material], Sequence[Section]]


def parts(material: Material) -> list[Part]:
    """The report's parts with their sections, in order; parts without any are left out."""
    made = [
        Part(title, [section for build in builders for section in build(material)])
        for title, builders in PARTS
    ]
    return [part for part in made if part.sections]


def _fits(material: Material) -> Sequence[Section]:
    return sections.study_sections(material.study, material.advice)


def _least_loss(material: Material) -> Sequence[Section]:
    section = least_loss_section(material.study)
    return [section] if section is not None else []


def _emergence(material: Material) -> Sequence[Section]:
    """The section on emergence, and emergence.json, where checkpoints were evaluated."""
    table = material.everything
    if not len(table.evals):
        return []
    from analysis.sections.emergence import emergence_results, emergence_section

    results = plain(emergence_results(table.evals, table.runs))
    write_json(material.directory / "emergence.json", results)
    return [emergence_section(table.evals, table.runs)]


def _tested(material: Material) -> Sequence[Section]:
    """Predictions that were put to the test, and validation.json, where any were."""
    from analysis.sections.validation import (
        printed,
        validation_json,
        validation_section,
        validations,
    )

    made = validations(material.study, material.config.sweeps, material.config.counting)
    if made:
        write_json(material.directory / "validation.json", plain(validation_json(made)))
    for test in made:
        print("\n".join(printed(test)))
    return [validation_section(material.study, test, index) for index, test in enumerate(made)]


def _ground_truth(material: Material) -> Sequence[Section]:
    """Fitted floors against the entropy, and entropy.json, where the data's entropy is known."""
    from analysis.sections.irreducible_loss import TITLE, entropy_json, entropy_section, verdict
    from analysis.studies.irreducible_loss import study_floors

    study = material.study
    try:
        made = study_floors(study.table, study.config, study.runs.counting)
    except FitError as error:
        return [Section(TITLE, [f"Not compared: {error}."])]
    if made is None:
        return []
    write_json(material.directory / "entropy.json", plain(entropy_json(made)))
    print(verdict(study, made))
    return [entropy_section(study, made)]


def _recovered(material: Material) -> Sequence[Section]:
    """Estimates against the truth, and recovery.json, where the runs are simulated."""
    from analysis.sections.recovery import recoveries, recovery_json, recovery_section

    found = recoveries(material.study)
    if found is None:
        return []
    rows, said = found
    write_json(material.directory / "recovery.json", plain(recovery_json(rows)))
    print(said)
    return [recovery_section(rows, said)]


def _recipes(material: Material) -> Sequence[Section]:
    """Recipes side by side, and recipes.json, where grids train the same cells in other ways."""
    from analysis.sections.recipes import planned_order, printed, recipe_section, recipes_json
    from analysis.studies.recipes import study_recipes

    config = material.config
    order = planned_order(material.everything.sources)
    made = study_recipes(material.everything, config.fit, config.counting, order)
    if made is None:
        return []
    write_json(material.directory / "recipes.json", plain(recipes_json(made)))
    print("\n".join(printed(made)))
    return [recipe_section(made)]


def _left_out(material: Material) -> Sequence[Section]:
    section = sections.holdout_section(material.study)
    return [section] if section is not None else []


def _runs(material: Material) -> Sequence[Section]:
    return [sections.runs_section(material.study), appendix.runs(material.book)]


def _exclusions(material: Material) -> Sequence[Section]:
    return [appendix.exclusions(material.study)]


PARTS: tuple[tuple[str, tuple[Builder, ...]], ...] = (
    ("Fits", (_fits, _least_loss, _recipes)),
    ("Emergence", (_emergence,)),
    ("Validation", (_tested, _ground_truth, _recovered, _left_out)),
    ("Runs", (_runs,)),
    ("Exclusions", (_exclusions,)),
)
"""Part by part, the builders of the report's sections. Provenance follows at the page's foot."""
