"""`isoflop analyze PATH`: fit a sweep's runs or any table of them, and write the report."""

import shlex
import sys
from pathlib import Path
from typing import Any

from analysis.chosen_runs import fitted, is_table
from analysis.config import AnalysisConfig, output_directory
from analysis.data.published.download import published_path
from analysis.data.published.registry import PREFIX, find_table
from analysis.emergence.tables.read import ScoreOptions, is_score_table
from analysis.printed import print_fits
from analysis.report.report import Report
from analysis.report.run_table import build_run_table
from analysis.sections.contents import ReportInputs, contents
from analysis.sections.prose.opening import sentences
from analysis.sections.score_table import report_scores
from analysis.sections.summary import caveats, facts, provenance
from analysis.side_by_side import analyse_by, compare_sweeps, published
from analysis.studies.fits_json import fits_json
from train.commands.command_line import Command, run_command, text_override
from train.commands.terminal import say
from train.config.cli import UsageError
from train.rundir.atomic import write_json

DESCRIPTION = "Fit scaling laws to the runs of a sweep, or of any table, and write one report."


def analyse(config: AnalysisConfig, command: str) -> Path:
    """Read, fit and write everything that one configuration asks for; the path of the report."""
    return analysed(config, command)[0]


def analysed(config: AnalysisConfig, command: str) -> tuple[Path, dict[str, Any]]:
    """The same, and the content of fits.json."""
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
    said = sentences(study, advice)
    report = Report(
        title=config.title
        or f"Scaling laws of {', '.join(Path(s).stem for s in everything.sources)}",
        decision=said[0],
        details=said[1:],
        caveats=caveats(study),
        facts=facts(study),
        parts=made.parts,
        command=command,
        book=book,
        provenance=provenance(study),
    )
    return published(report, numbers, directory, config), numbers


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
