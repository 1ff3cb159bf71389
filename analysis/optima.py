"""`isoflop optima TABLE`: power laws through optima (C, N_opt, D_opt) without their runs."""

import shlex
import sys
from pathlib import Path

from analysis.allocate import listed
from analysis.config import AnalysisConfig, output_directory
from analysis.data.reading.optima import read_optima
from analysis.report.document import Part
from analysis.report.report import Report
from analysis.report.write import write_report
from analysis.sections.questions import minima
from analysis.studies.fits_json import plain
from analysis.studies.minima.optima import fit_optima
from train.commands.command_line import Command, run_command, text_override
from train.commands.terminal import say
from train.config.cli import UsageError
from train.rundir.atomic import write_json

DESCRIPTION = (
    "Power laws N_opt ~ C^a and D_opt ~ C^b through a table of optima (two of flops, n_opt and "
    "d_opt; loss where it is known), with intervals, and N and D for budgets (flops=)."
)


def main(config: AnalysisConfig, overrides: list[str]) -> int:
    """Read, fit, write fits.json and the report, and print its path.

    Raises:
        UsageError: No table.
    """
    if config.table.path is None:
        raise UsageError("no table of optima; for example: isoflop optima optima.csv flops=1e24")
    found = read_optima(Path(config.table.path))
    made, flops = fit_optima(**found), config.allocation.flops
    directory = output_directory(config)
    write_json(directory / "fits.json", plain({"optima": minima.optima_json(made, flops)}))
    words = minima.optima_words(made)
    for line in (*words, *minima.optima_answers(made, flops)):
        say(line)
    report = Report(
        title=config.title or f"Optima of {Path(config.table.path).stem}",
        decision=words[0],
        caveats=words[1:],
        facts=[("optima", str(len(made.flops)))],
        parts=[Part("Fits", [minima.optima_section(made, flops)])],
        command=shlex.join(["isoflop", "optima", *overrides]),
        provenance=[("table", config.table.path)],
    )
    print(write_report(report, directory))
    return 0


def _paths(given: list[str], verb: str | None) -> list[str]:
    if len(given) > 1:
        raise UsageError(f"got {', '.join(given)}; expected one table of optima")
    return [text_override("table.path", path) for path in given]


COMMAND = Command(
    name="optima",
    module="analysis.optima",
    description=DESCRIPTION,
    config_name="analysis",
    config=AnalysisConfig,
    run=main,
    arguments="TABLE",
    paths=_paths,
    options={"flops": listed("allocation.flops")},
)


if __name__ == "__main__":
    run_command(COMMAND, sys.argv[1:], "python -m analysis.optima")
