"""The report on two sweeps side by side: isoflop analyze compare=[A,B]."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from analysis.data.published.registry import PREFIX
from analysis.figures.comparison import forest, overlay
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import count_span
from analysis.format import count_label, number, span
from analysis.report.document import Part, Section, TableSpec
from analysis.report.run_table import RunTable
from analysis.sections import appendix
from analysis.sections.questions import multiplier
from analysis.sections.text_loss import text_comparison
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.comparison import (
    BudgetPair,
    ExponentRow,
    exponents,
    setting_differences,
    shared_budgets,
    spec_differences,
)
from analysis.studies.multiplier.multiplier import ComputeMultiplier, multipliers
from analysis.studies.study import Study
from train.rundir.sweep_layout import SweepPaths

TABLE_ENDING = re.compile(r"\.(csv|tsv|json|jsonl|xlsx|parquet)(\.gz)?$")


@dataclass(frozen=True)
class Comparison:
    """Two named studies and what was found between them."""

    names: tuple[str, str]
    studies: tuple[Study, Study]
    exponents: list[ExponentRow]
    budgets: list[BudgetPair]
    specs: list[tuple[str, str, str]]
    settings: list[tuple[str, str, str]]
    multipliers: list[ComputeMultiplier]


def names_of(paths: Sequence[str]) -> tuple[str, str]:
    """How the two are called: by their last names, in full where these are the same."""
    first, second = (TABLE_ENDING.sub("", Path(path).name).removeprefix(PREFIX) for path in paths)
    return (first, second) if first != second else (str(paths[0]), str(paths[1]))


def compare(
    paths: Sequence[str], first: Study, second: Study, flops: Sequence[float] = ()
) -> Comparison:
    """Two studies as a comparison, with the worth of the second in the first's compute.

    Args:
        paths: The sweeps' directories or the tables.
        first: The study of the first, whose compute is the measure.
        second: That of the second.
        flops: Amounts of compute to give the multiplier at, beside those that both ran.
    """
    return Comparison(
        names_of(paths),
        (first, second),
        exponents(first, second),
        shared_budgets(first, second),
        spec_differences(first, second),
        setting_differences(*(_settings(Path(path)) for path in paths)),
        multipliers(first, second, flops),
    )


def conclusion(made: Comparison) -> str:
    """What the second is worth, then whether the exponents differ."""
    worth = multiplier.conclusion(made.names, made.multipliers)
    return f"{worth} {_exponents_differ(made)}"


def _exponents_differ(made: Comparison) -> str:
    """Whether the exponents differ, in one sentence with the difference's interval."""
    quoted = [p for p in made.exponents if p.name == "a" and np.isfinite(p.values).all()]
    first, second = made.names
    if not quoted:
        return f"No approach determines how N should grow with C in both {first} and {second}."
    pair = quoted[0]
    ours, theirs = (
        f"{number(value)} ({span(interval)}) in {name}"
        for value, interval, name in zip(pair.values, pair.intervals, made.names, strict=True)
    )
    low, high = pair.difference_interval
    if np.isnan(low):
        told = "without an interval on both, whether they differ can't be said"
    elif low <= 0 <= high:
        told = "the 95 % interval holds zero, so these runs do not tell them apart"
    else:
        told = "the 95 % interval leaves zero out, so they differ"
    return (
        f"By approach {pair.approach} N grows as C to the power {ours} and {theirs}, a difference "
        f"of {number(pair.difference)} ({span((low, high))}): {told}."
    )


def caveats(made: Comparison) -> list[str]:
    """What must be known before two sweeps are compared at all."""
    notes = [
        f"{name}: {warning}"
        for name, study in zip(made.names, made.studies, strict=True)
        for warning in study.table.warnings
    ]
    if any(name in ("data", "data_fingerprint") for name, *_ in made.specs):
        notes.append(
            "The sweeps were trained on different data: exponents can be compared, losses can't."
        )
    return notes


def facts(made: Comparison) -> list[tuple[str, str]]:
    shown = [
        (f"runs, {name}", f"{len(study.runs):,}")
        for name, study in zip(made.names, made.studies, strict=True)
    ]
    return [
        *shown,
        ("shared budgets", str(len(made.budgets))),
        ("differing settings", str(len(made.settings))),
    ]


def parts(made: Comparison) -> list[Part]:
    """The comparison's own parts of the report."""
    unit = made.studies[0].config.loss_unit
    worth = multiplier.multiplier_section(made.names, made.multipliers, unit)
    fits = [worth, _exponent_section(made)]
    if any(study.find(IsoflopApproach) is not None for study in made.studies):
        fits.append(_profile_section(made))
    tables = [(study.table.evals, study.table.runs) for study in made.studies]
    # What the second is worth is asked above, so the first is the reference here too.
    texts = text_comparison((made.names[1], made.names[0]), tables[::-1])
    return [
        Part("Fits", fits),
        *([Part("Texts", texts)] if texts else []),
        Part("Differences", [_difference_section(made)]),
    ]


def run_part(made: Comparison, book: RunTable) -> Part:
    """Every run of both sweeps, and what each fit left out."""
    left_out = [
        appendix.exclusions(study, f"Excluded runs of {name}")
        for name, study in zip(made.names, made.studies, strict=True)
    ]
    return Part("Runs", [appendix.runs(book), *left_out])


def comparison_json(made: Comparison) -> dict[str, Any]:
    """All numbers of the comparison; arrays and NaN are left to `results.plain`."""
    return {
        "sweeps": made.names,
        "conclusion": conclusion(made),
        "multipliers": [one.to_json() for one in made.multipliers],
        "exponents": [
            {**asdict(p), "difference": p.difference, "difference_interval": p.difference_interval}
            for p in made.exponents
        ],
        "budgets": [{**asdict(b), "loss_ratio": b.loss_ratio} for b in made.budgets],
        "specs": made.specs,
        "settings": made.settings,
    }


def _settings(directory: Path) -> dict[str, Any]:
    path = SweepPaths(directory).config
    return yaml.safe_load(path.read_text()) or {} if path.is_file() else {}


def _exponent_section(made: Comparison) -> Section:
    rows = []
    for pair in made.exponents:
        cells = [
            cell
            for value, interval in zip(pair.values, pair.intervals, strict=True)
            for cell in (number(value), span(interval))
        ]
        change = [number(pair.difference), span(pair.difference_interval)]
        rows.append([pair.approach, pair.name, *cells, *change])
    first, second = made.names
    columns = ["approach", "exponent", first, "95 %", second, "95 %", "difference", "95 %"]
    figure = FigureSpec(
        "exponents",
        forest(made.names, made.exponents),
        f"Exponents a by approach with 95 % intervals, those of {first} above those of {second}.",
        "N_opt grows as C^a. Points are the exponents by each approach, bars their 95 % intervals.",
    )
    text = (
        "Intervals of differences follow from the two intervals, as of independent estimates "
        "(Zou and Donner 2008)."
    )
    return Section("Exponents", [text], [figure], [TableSpec("Exponents", columns, rows)])


def _profile_section(made: Comparison) -> Section:
    first, second = made.names
    figure = FigureSpec(
        "overlay",
        overlay(made.names, made.studies),
        f"Loss against parameters at each budget, {first} as filled points and solid lines, "
        f"{second} as open squares and dashed lines; beside it the minima against compute.",
        f"IsoFLOP profiles of both sweeps: {first} solid, {second} dashed; diamonds are minima.",
    )
    rows = [
        [
            number(budget.flops),
            *(
                f"{count_label(n)} ({count_span(interval)})"
                for n, interval in zip(budget.n_opt, budget.n_intervals, strict=True)
            ),
            *(number(loss, 4) for loss in budget.loss),
            f"{100 * budget.loss_ratio:+.2f} %",
        ]
        for budget in made.budgets
    ]
    columns = ["C (FLOPs)", f"N_opt, {first}", f"N_opt, {second}"]
    columns += [f"loss, {first}", f"loss, {second}", "loss, change"]
    tables = [TableSpec("Minima at shared budgets", columns, rows)] if rows else []
    text = [] if rows else ["No budget has a bracketed minimum in both sweeps."]
    return Section("IsoFLOP profiles", text, [figure], tables)


def _difference_section(made: Comparison) -> Section:
    columns = ["quantity", *made.names]
    tables = [
        TableSpec(title, columns, rows)
        for title, rows in (
            ("What the fitted runs are", made.specs),
            ("Settings (sweep.yaml)", made.settings),
        )
        if rows
    ]
    text = [] if tables else ["No column of the runs and no setting differs."]
    return Section("Differences of specs", text, [], tables)
