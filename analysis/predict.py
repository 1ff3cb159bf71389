"""`isoflop predict RUNS n_params=13e9 n_tokens=5e12`: the loss that every law predicts."""

import shlex
import sys

from analysis.__main__ import COMMAND as ANALYZE
from analysis.__main__ import analyse, paths
from analysis.chosen_runs import is_table
from analysis.config import AnalysisConfig
from train.commands.command_line import Command, run_command, text_override
from train.config.cli import UsageError

DESCRIPTION = (
    "Predict the loss of N parameters on D tokens by every law of some runs: the same analysis and "
    "report, with a section of predictions. A second table holds runs to predict (n_params, "
    "n_tokens, and loss where it was measured)."
)


def main(config: AnalysisConfig, overrides: list[str]) -> int:
    """Fit, predict and print the path of the report.

    Raises:
        UsageError: Nothing to predict.
    """
    if not config.predict.asked:
        raise UsageError("nothing to predict; give n_params= and n_tokens=, or a table of them")
    print(analyse(config, shlex.join(["isoflop", "predict", *overrides])))
    return 0


def _paths(given: list[str], verb: str | None) -> list[str]:
    """Runs as of `isoflop analyze`; behind them, a table of runs to predict."""
    if len(given) > 1 and is_table(given[-1]):
        return [*paths(given[:-1], verb), text_override("predict.table", given[-1])]
    return paths(given, verb)


COMMAND = Command(
    name="predict",
    module="analysis.predict",
    description=DESCRIPTION,
    config_name="analysis",
    config=AnalysisConfig,
    run=main,
    arguments="RUNS [TABLE]",
    paths=_paths,
    options={
        "n_params": lambda value: [f"predict.n_params={_listed(value)}"],
        "n_tokens": lambda value: [f"predict.n_tokens={_listed(value)}"],
    },
    old=ANALYZE.old,
)


def _listed(value: str) -> str:
    return value if value.startswith("[") else f"[{value}]"


if __name__ == "__main__":
    run_command(COMMAND, sys.argv[1:], "python -m analysis.predict")
