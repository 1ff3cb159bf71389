"""`isoflop allocate RUNS flops=1e21 inference_tokens=1e12`: which model to train, and to serve."""

import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any

from analysis.__main__ import COMMAND as ANALYZE
from analysis.__main__ import analysed, paths
from analysis.config import AllocationConfig, AnalysisConfig
from analysis.errors import FitError
from analysis.studies.fits_json import plain
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
        FitError: Nothing that was asked has an answer; the report is written all the same.
    """
    if not config.allocation.asked:
        raise UsageError(
            "nothing to allocate; give flops=, n_params=, loss= or inference_tokens=, for example "
            "isoflop allocate results/demo flops=1e15 inference_tokens=1e11"
        )
    path, numbers = analysed(config, shlex.join(["isoflop", "allocate", *overrides]))
    print(path)
    reason = unanswered(config.allocation, numbers)
    if reason:
        raise FitError(f"no plan: {reason}")
    return 0


def unanswered(asked: AllocationConfig, numbers: Mapping[str, Any]) -> str:
    """Why nothing of what was asked has an answer; empty where something has.

    Args:
        asked: The budgets, sizes, losses and demands.
        numbers: The content of fits.json.
    """
    if (asked.flops or asked.n_params) and numbers["allocation"]:
        return ""
    serving = plain(numbers.get("serving") or {})
    plans = serving.get("plans", [])
    if any(plan["n_params"] is not None for plan in plans):
        return ""
    reasons = dict.fromkeys([serving.get("reason"), *(plan["reason"] for plan in plans)])
    return "; ".join(filter(None, reasons)) or "no law could be fitted (see the report)"


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
