"""Reports of fits that are made apart and shown together: two sweeps, or a column's values."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.chosen_runs import chosen, is_table, read
from analysis.config import AnalysisConfig, output_directory
from analysis.data.readers import joined, renamed
from analysis.printed import print_fits
from analysis.report.report import Report
from analysis.report.run_table import build_run_table
from analysis.report.wandb import mirror
from analysis.report.write import write_report
from analysis.sections import comparison as comparison_report
from analysis.sections.questions import by_column as by_column_report
from analysis.sections.summary import provenance
from analysis.studies.allocation import allocate
from analysis.studies.fits_json import fits_json, plain
from analysis.studies.questions.by_column import study_by
from analysis.studies.study import run_study
from train.commands.terminal import say
from train.rundir.atomic import write_json


def compare_sweeps(config: AnalysisConfig, command: str) -> Path:
    """Fit two sweeps apart and write what differs between them; the path of the report."""
    names = comparison_report.names_of(config.compare)
    directory = output_directory(config)
    tables = {n: read(_side(config, path)) for n, path in zip(names, config.compare, strict=True)}
    if set(tables[names[0]].texts("run_id")) & set(tables[names[1]].texts("run_id")):
        tables = {name: renamed(table, f"{name} ") for name, table in tables.items()}
    ours, theirs = (
        run_study(chosen(table, config), config.fit, config.counting) for table in tables.values()
    )
    made = comparison_report.compare(config.compare, ours, theirs, config.allocation.flops)
    used = {str(name) for study in (ours, theirs) for name in study.table.texts("run_id")}
    book = build_run_table(joined(tables), used)
    numbers = plain(comparison_report.comparison_json(made))
    write_json(directory / "comparison.json", numbers)
    report = Report(
        title=config.title or f"{made.names[0]} and {made.names[1]}, side by side",
        decision=comparison_report.conclusion(made),
        caveats=comparison_report.caveats(made),
        facts=comparison_report.facts(made),
        parts=[*comparison_report.parts(made), comparison_report.run_part(made, book)],
        command=command,
        book=book,
        provenance=[*provenance(ours), *provenance(theirs)],
    )
    say(report.decision)
    return published(report, numbers, directory, config)


def _side(config: AnalysisConfig, path: str) -> AnalysisConfig:
    """The analysis of one side of a comparison: a sweep's directory, or a table."""
    if is_table(path):
        return replace(config, compare=[], table=replace(config.table, path=path))
    return replace(config, compare=[], sweeps=[path])


def analyse_by(config: AnalysisConfig, command: str) -> Path:
    """Fit each value of a column apart and write them side by side; the path of the report."""
    column, directory, everything = str(config.fit.by), output_directory(config), read(config)
    made = study_by(
        everything, column, lambda table: run_study(chosen(table, config), config.fit,
                                                     config.counting),
    )  # fmt: skip
    wanted = config.allocation
    advice = {v: allocate(s, wanted.flops, wanted.n_params) for v, s in made.studies.items()}
    for value, study in made.studies.items():
        print(f"{column} {value}:")
        print_fits(study, advice[value])
    used = {str(name) for study in made.studies.values() for name in study.table.texts("run_id")}
    book = build_run_table(everything, used)
    numbers = {
        "by": column,
        "values": {v: fits_json(study, advice[v]) for v, study in made.studies.items()},
        "missing": made.missing,
    }
    write_json(directory / "fits.json", numbers)
    report = Report(
        title=config.title or f"Scaling laws by {column}",
        decision=by_column_report.decision(made, advice),
        caveats=by_column_report.caveats(made),
        facts=by_column_report.facts(made),
        parts=by_column_report.parts(made, advice, book),
        command=command,
        book=book,
        provenance=provenance(next(iter(made.studies.values()))),
    )
    return published(report, numbers, directory, config)


def published(
    report: Report, numbers: dict[str, Any], directory: Path, config: AnalysisConfig
) -> Path:
    """Write a report, and mirror it to W&B where that was asked for; the path of the page."""
    path = write_report(report, directory)
    said = mirror(report, numbers, path, config.tracker)
    if said:
        say(said)
    return path
