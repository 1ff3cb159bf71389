"""The report of fits by the values of a column: isoflop analyze runs.csv fit.by=dataset."""

from analysis.figures.comparison import forest, overlay
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import count_span
from analysis.format import count_label, number, span
from analysis.report.document import Part, Section, TableSpec
from analysis.report.run_table import RunTable
from analysis.sections import appendix, summary
from analysis.sections.prose import opening
from analysis.studies.allocation import AllocationRow
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.comparison import exponents
from analysis.studies.questions.by_column import ByColumn

Advice = dict[str, list[AllocationRow]]
"""What each value's study advises."""

MOST_OVERLAID = 6
"""Values whose profiles can still be told apart in one figure."""


def decision(made: ByColumn, advice: Advice) -> str:
    """Each value's own sentence."""
    said = [
        f"{made.column} {value}: {opening.decision(study, advice[value])}"
        for value, study in made.studies.items()
    ]
    return " ".join([*said, *(f"{v}: not fitted ({why})." for v, why in made.missing.items())])


def caveats(made: ByColumn) -> list[str]:
    return [
        f"{value}: {note}"
        for value, study in made.studies.items()
        for note in summary.caveats(study)
    ]


def facts(made: ByColumn) -> list[tuple[str, str]]:
    return [(f"runs, {value}", f"{len(study.runs):,}") for value, study in made.studies.items()]


def parts(made: ByColumn, advice: Advice, book: RunTable) -> list[Part]:
    """Exponents, profiles and advice side by side, then every run and what was left out."""
    left_out = [
        appendix.exclusions(study, f"Excluded runs, {value}")
        for value, study in made.studies.items()
    ]
    fits = [_exponents(made), _advice(made, advice)]
    has_profiles = any(study.find(IsoflopApproach) for study in made.studies.values())
    if has_profiles and len(made.studies) <= MOST_OVERLAID:
        fits.insert(1, _profiles(made))
    return [Part("Fits", fits), Part("Runs", [appendix.runs(book), *left_out])]


def _exponents(made: ByColumn) -> Section:
    found = exponents(*made.studies.values())
    names = list(made.studies)
    rows = [
        [
            row.approach,
            row.name,
            *(
                cell
                for value, interval in zip(row.values, row.intervals, strict=True)
                for cell in (number(value), span(interval))
            ),
        ]
        for row in found
    ]
    columns = ["approach", "exponent", *(cell for name in names for cell in (name, "95 %"))]
    figure = FigureSpec(
        "exponents",
        forest(names, found),
        f"Exponents a by approach with 95 % intervals, for each value of {made.column}.",
        f"N_opt grows as C^a: exponents by approach for each value of {made.column}.",
    )
    return Section(
        f"Exponents by {made.column}",
        [f"Every value of {made.column} is fitted alone; no law is shared between them."],
        [figure] if found else [],
        [TableSpec("Exponents", columns, rows)],
    )


def _profiles(made: ByColumn) -> Section:
    figure = FigureSpec(
        "overlay",
        overlay(list(made.studies), list(made.studies.values())),
        f"Loss against parameters at each budget, one colour and mark for each value of "
        f"{made.column}; beside it the minima against compute.",
        f"IsoFLOP profiles by {made.column}; diamonds are minima.",
    )
    return Section("IsoFLOP profiles", [], [figure])


def _advice(made: ByColumn, advice: Advice) -> Section:
    rows = [
        [
            value,
            number(row.flops) + (" *" if row.extrapolated else ""),
            row.approach,
            count_label(row.n_opt),
            count_span(row.n_interval),
            count_label(row.d_opt),
            number(row.loss, 4),
        ]
        for value, study in made.studies.items()
        for row in advice[value]
        if study.preferred is not None and row.approach == study.preferred.name
    ]
    columns = [made.column, "C (FLOPs)", "approach", "N", "95 %", "D", "loss"]
    table = TableSpec("By each value's preferred approach (* beyond its runs)", columns, rows)
    return Section("How to spend compute", [], [], [table])
