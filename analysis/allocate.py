"""`isoflop allocate RUNS flops=1e21 inference_tokens=1e12`: which model to train, and to serve."""

import shlex
import sys
from collections.abc import Callable

from analysis.__main__ import COMMAND as ANALYZE
from analysis.__main__ import analyse, paths
from analysis.config import AnalysisConfig
from train.commands.command_line import Command, run_command
from train.config.cli import UsageError

DESCRIPTION = (
    "Which N and D to train with a budget (flops=), for a size (n_params=), or for a loss (loss=); "
    "with inference_tokens= also the model of that quality that costs least to train and to serve. "
    "The same analysis and report, with these budgets."
)


def main(config: AnalysisConfig, overrides: list[str]) -> int:
    """Fit, allocate and print the path of the report.

    Raises:
        UsageError: Nothing to allocate.
    """
    if not config.allocation.asked:
        raise UsageError(
            "nothing to allocate; give flops=, n_params=, loss= or inference_tokens=, for example "
            "isoflop allocate results/demo flops=1e15 inference_tokens=1e11"
        )
    print(analyse(config, shlex.join(["isoflop", "allocate", *overrides])))
    return 0


def listed(key: str) -> Callable[[str], list[str]]:
    """One value, or a list in brackets, as the setting of a list."""
    return lambda value: [f"{key}={value if value.startswith('[') else f'[{value}]'}"]


COMMAND = Command(
    name="allocate",
    module="analysis.allocate",
    description=DESCRIPTION,
    config_name="analysis",
    config=AnalysisConfig,
    run=main,
    arguments="RUNS",
    paths=paths,
    options={
        name: listed(f"allocation.{name}")
        for name in ("flops", "n_params", "loss", "inference_tokens")
    },
    old=ANALYZE.old,
)


if __name__ == "__main__":
    run_command(COMMAND, sys.argv[1:], "python -m analysis.allocate")
