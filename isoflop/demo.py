"""`isoflop demo [DIR]`: the demo sweeps trained, evaluated, fitted and reported, a command each."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands.processes import python_command, python_environment
from train.commands.terminal import say

DIRECTORY = "results/demo"


def steps(directory: str, settings: Sequence[str] = ()) -> list[list[str]]:
    """The commands of the demo in order, as typed behind `isoflop`."""
    return [
        ["sweep", "launch", directory, "preset=demo", *settings],
        ["eval", directory],
        ["analyze", directory],
    ]


def other_seeds(offset: int) -> list[str]:
    """Settings of a launch that add a number to each seed of the demo's runs."""
    if not offset:
        return []
    from sweeps.spec.config import SweepConfig
    from train.config.cli import load_config

    sweep = load_config("sweep", ["preset=demo"], SweepConfig).sweep
    return [
        f"sweep.grids.{name}.seeds=[{','.join(str(s + offset) for s in grid.seeds or sweep.seeds)}]"
        for name, grid in sweep.grids.items()
    ]


def main(arguments: Sequence[str], prog: str) -> int:
    """Run every step; returns the status of the first that fails, else 0.

    Run again, it continues where it stopped, since each step does.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train two small sweeps, evaluate them, fit scaling laws and write the report: "
        "about 5 minutes on two cores, without a network. Settings go to the launch.",
    )
    parser.add_argument("directory", nargs="?", default=DIRECTORY, help=f"default {DIRECTORY}")
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="such as launcher.workers=1"
    )
    parser.add_argument(
        "--seed-offset", type=int, default=0, metavar="N",
        help="add N to every run's seed, to see what of the result is the seeds' (into a directory "
        "of its own; from 3 on no seed of the demo is repeated)",
    )  # fmt: skip
    given = parser.parse_intermixed_args(arguments)
    if given.seed_offset < 0:
        parser.error(f"--seed-offset {given.seed_offset} must be at least 0")
    directory, settings = given.directory, given.settings
    if "=" in directory and not Path(directory).exists():
        directory, settings = DIRECTORY, [directory, *settings]
    settings = [*other_seeds(given.seed_offset), *settings]
    # One thread a worker, as the demo was timed: numerical libraries would take every core each.
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **os.environ}
    for words in steps(directory, settings):
        say(f"$ isoflop {' '.join(words)}", sys.stderr)
        status = _run(python_command("isoflop", *words), python_environment(environment))
        if status:
            return status
    return 0


def _run(command: list[str], environment: dict[str, str]) -> int:
    """One step to its end; returns its status.

    SIGTERM is passed on: a launch then saves its runs, and left behind it would go on unseen.
    """
    step = subprocess.Popen(command, env=environment)
    before = signal.signal(signal.SIGTERM, lambda *_: step.terminate())
    try:
        return step.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
