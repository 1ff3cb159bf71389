"""`isoflop analyze PATH`: fit a sweep's runs or any table of them, and write the report."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.config import AnalysisConfig, output_directory
from analysis.data.loss_column import with_loss
from analysis.data.loss_table import LossTable, select
from analysis.data.published.download import published_path, read_published
from analysis.data.published.registry import PREFIX, find_table
from analysis.data.readers import read_file, read_sweeps
from analysis.emergence.tables.read import ScoreOptions, is_score_table
from analysis.report.report import Report
from analysis.report.run_table import build_run_table
from analysis.report.wandb import mirror
from analysis.report.write import write_report
from analysis.sections import comparison as comparison_report
from analysis.sections.contents import ReportInputs, contents
from analysis.sections.questions import by_column as by_column_report
from analysis.sections.score_table import report_scores
from analysis.sections.summary import caveats, decision, facts, provenance
from analysis.studies.allocation import AllocationRow, allocate
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.fits_json import fits_json, plain
from analysis.studies.questions.by_column import study_by
from analysis.studies.study import Study, run_study
from analysis.studies.validation_runs import to_fit
from train.commands.command_line import Command, run_command, text_override
from train.commands.terminal import say
from train.config.cli import UsageError
from train.rundir.atomic import write_json
from train.rundir.sweep_layout import SweepPaths

DESCRIPTION = "Fit scaling laws to the runs of a sweep, or of any table, and write one report."


def analyse(config: AnalysisConfig, command: str) -> Path:
    """Read, fit and write everything that one configuration asks for; the path of the report."""
    directory = output_directory(config)
    everything, study, advice = fitted(config)
    book = build_run_table(everything, set(study.table.texts("run_id")))
    numbers = fits_json(study, advice)
    print_fits(study, advice)
    made = contents(ReportInputs(config, everything, study, advice, book))
    numbers |= made.numbers
    for name, content in {"fits.json": numbers, **made.files}.items():
        write_json(directory / name, content)
    for line in made.lines:
        say(line)
    report = Report(
        title=config.title
        or f"Scaling laws of {', '.join(Path(s).stem for s in everything.sources)}",
        decision=decision(study, advice),
        caveats=caveats(study),
        facts=facts(study),
        parts=made.parts,
        command=command,
        book=book,
        provenance=provenance(study),
    )
    return published(report, numbers, directory, config)


def compare_sweeps(config: AnalysisConfig, command: str) -> Path:
    """Fit two sweeps apart and write what differs between them; the path of the report."""
    directories = [Path(sweep) for sweep in config.compare]
    directory = output_directory(config)
    ours, theirs = (
        fitted(replace(config, compare=[], sweeps=[str(sweep)]))[1] for sweep in directories
    )
    made = comparison_report.compare(directories, ours, theirs)
    used = {str(name) for study in (ours, theirs) for name in study.table.texts("run_id")}
    book = build_run_table(read_sweeps(directories), used)
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


def analyse_by(config: AnalysisConfig, command: str) -> Path:
    """Fit each value of a column apart and write them side by side; the path of the report."""
    column, directory, everything = str(config.fit.by), output_directory(config), read(config)
    made = study_by(
        everything, column, lambda table: run_study(_chosen(table, config), config.fit,
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


def fitted(config: AnalysisConfig) -> tuple[LossTable, Study, list[AllocationRow]]:
    """All runs that were read, the study of those that belong in one fit, and its advice."""
    everything = read(config)
    study = run_study(_chosen(everything, config), config.fit, config.counting)
    return everything, study, allocate(study, config.allocation.flops, config.allocation.n_params)


def _chosen(table: LossTable, config: AnalysisConfig) -> LossTable:
    """The runs that belong in one fit, as the configuration chooses them."""
    fit = config.fit
    return select(
        with_loss(table, fit.loss), fit.data, fit.grid, fit.where, fit.drop_highest,
        best_of=fit.best_of, max_epochs=fit.max_epochs,
    )  # fmt: skip


def read(config: AnalysisConfig) -> LossTable:
    """The runs that a configuration names, unfiltered but clean."""
    if config.sweeps:
        return read_sweeps(to_fit([Path(sweep) for sweep in config.sweeps]))
    assert config.table.path is not None  # AnalysisConfig holds exactly one of the two
    path = config.table.path
    if path.startswith(PREFIX):
        return read_published(path, config.table.options)
    if path.startswith("wandb:"):
        from analysis.data.wandb_reader import read_wandb

        project = path.removeprefix("wandb:")
        options = config.table.options
        return read_wandb(project, options, config.table.filters, Path(config.table.cache))
    return read_file(Path(path), config.table.options)


def print_fits(study: Study, advice: list[AllocationRow]) -> None:
    """What was read and the main numbers as plain lines."""
    for line in study.table.understood:
        say(line)
    say(f"{len(study.runs)} runs fitted, {len(study.table.excluded)} excluded")
    for name in (*study.config.approaches, RepeatedApproach.name):
        if name not in study.fits:
            if name in study.missing:
                say(f"{name:11}{study.missing[name]}")
            continue
        fit = study.fits[name]
        low, high = fit.intervals.get("a", (float("nan"), float("nan")))
        exponents = f"a {fit.a:.6g} [{low:.4g}, {high:.4g}]  b {fit.b:.6g}"
        say(f"{name:11}{exponents}  {fit.status} {fit.reason}".rstrip())
        for line in fit.printed:
            say(f"{'':11}{line}")
    for note in caveats(study):
        say(f"note: {note}")
    say(decision(study, advice))


def main(config: AnalysisConfig, overrides: list[str]) -> int:
    """Make the report that a configuration asks for and print its path."""
    command = shlex.join(["isoflop", "analyze", *overrides])
    table = config.table
    if table.path is not None:
        if table.path.startswith(PREFIX):
            print(find_table(table.path).description)
        path = published_path(table.path)
        options = ScoreOptions(
            table.columns, table.units, table.decimal, table.filters, table.models
        )
        if is_score_table(path, options):
            directory = output_directory(config)
            print(report_scores(path, options, directory, config.title, command))
            return 0
        _only_for_scores(config)
    if config.compare:
        say(compare_sweeps(config, command))
    else:
        say((analyse_by if config.fit.by else analyse)(config, command))
    return 0


def _only_for_scores(config: AnalysisConfig) -> None:
    """Refuse settings that a table of runs has no use for, which would be passed over silently.

    Raises:  UsageError: table.filters of a file, or table.models.
    """
    table = config.table
    if table.models is not None:
        raise UsageError(
            f"table.models={table.models} is joined to tables of scores, and {table.path} is none "
            f"(it needs model, task, metric and value, or one column per score)"
        )
    if table.filters and not str(table.path).startswith("wandb:"):
        raise UsageError(
            f"table.filters select rows of scores or runs of W&B, and {table.path} is a table of "
            f"runs; use fit.where, for example 'fit.where={{optimizer: adamw}}'"
        )


def paths(given: list[str], verb: str | None) -> list[str]:
    """Sweeps or one table as overrides.

    Raises:  UsageError: several tables, or tables beside sweeps.
    """
    if not any(is_table(path) for path in given):
        return [f"sweeps=[{','.join(_quoted(path) for path in given)}]"] if given else []
    if len(given) > 1:
        raise UsageError(f"got {', '.join(given)}; expected one table, or sweeps")
    return [text_override("table.path", given[0])]


TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".parquet", ".gz")
"""Names of tables that need not be there for the reader to say that they are missing."""


def is_table(path: str) -> bool:
    remote = path.startswith(("wandb:", "published:"))
    return (
        remote
        or Path(path).suffix in TABLE_SUFFIXES
        or Path(path).is_file()
        or _holds_results(Path(path))
    )


def _holds_results(path: Path) -> bool:
    """Whether a directory is no sweep but holds results of lm-evaluation-harness or BIG-bench."""
    sweep = SweepPaths(path)
    return path.is_dir() and not sweep.runs.exists() and is_score_table(path)


def _quoted(path: str) -> str:
    return text_override("", path).removeprefix("=")


def _old_sweep(value: str, verb: str | None) -> list[str]:
    """sweep=DIR and sweep=[A,B] of earlier releases as directories."""
    return [path.strip(" '\"") for path in value.strip("[]").split(",")]


COMMAND = Command(
    name="analyze",
    module="analysis",
    description=DESCRIPTION,
    config_name="analysis",
    config=AnalysisConfig,
    run=main,
    arguments="PATH...",
    paths=paths,
    old={"sweep": _old_sweep, "table": lambda value, verb: [value]},
)

if __name__ == "__main__":
    run_command(COMMAND, sys.argv[1:], "python -m analysis")
