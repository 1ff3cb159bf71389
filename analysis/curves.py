"""`isoflop curves PATH`: a law of whole loss curves under any schedule, and its report."""

import shlex
import sys
from pathlib import Path

from analysis.__main__ import COMMAND as ANALYZE
from analysis.__main__ import paths
from analysis.config import AnalysisConfig, output_directory
from analysis.data.loss_table import select
from analysis.data.published.download import published_path
from analysis.data.readers import read_sweeps
from analysis.data.reading.curve_points import sweep_points, table_points
from analysis.fits.curve_law.path import LossCurve
from analysis.report.document import Part
from analysis.report.report import Report
from analysis.report.write import write_report
from analysis.sections.questions import curves as section
from analysis.studies.curves.study import curves_of, curves_of_points, study_curves
from analysis.studies.fits_json import plain
from train.commands.command_line import Command, run_command
from train.commands.terminal import say
from train.config.cli import UsageError
from train.rundir.atomic import write_json

DESCRIPTION = (
    "Fit one law to whole loss curves under their learning-rate schedules, and predict other "
    "curves by it. A table has one row per point: curve (or run), step or n_tokens, lr, loss, and "
    "n_params where sizes differ."
)


def main(config: AnalysisConfig, overrides: list[str]) -> int:
    """Fit, predict and print the path of the report.

    Raises:
        UsageError: Two sweeps to compare.
    """
    if config.compare:
        raise UsageError("isoflop curves takes sweeps or one table of curves; leave compare= out")
    made = study_curves(loss_curves(config), config.curves.fit_to)
    directory = output_directory(config) / "curves"
    write_json(directory / "curves.json", plain(made.to_json()))
    said = section.conclusion(made)
    report = Report(
        title=config.title or "Whole loss curves",
        decision=said,
        caveats=[],
        facts=[("curves", str(len(made.curves))), ("points fitted", f"{made.law.n_points:,}")],
        parts=[Part("Curves", [section.curve_section(made)])],
        command=shlex.join(["isoflop", "curves", *overrides]),
    )
    say(said)
    print(write_report(report, directory))
    return 0


def loss_curves(config: AnalysisConfig) -> list[LossCurve]:
    """The curves that a configuration names."""
    if config.table.path is not None:
        path = published_path(config.table.path)
        return curves_of_points(table_points(path, config.table.columns))
    directories = [Path(sweep) for sweep in config.sweeps]
    table = select(read_sweeps(directories), config.fit.data, config.fit.grid, config.fit.where)
    return curves_of(table, sweep_points(directories))


COMMAND = Command(
    name="curves",
    module="analysis.curves",
    description=DESCRIPTION,
    config_name="analysis",
    config=AnalysisConfig,
    run=main,
    arguments="PATH...",
    paths=paths,
    options={"fit_to": lambda value: [f"curves.fit_to={_listed(value)}"]},
    old=ANALYZE.old,
)


def _listed(value: str) -> str:
    return value if value.startswith("[") else f"[{value}]"


if __name__ == "__main__":
    run_command(COMMAND, sys.argv[1:], "python -m analysis.curves")
