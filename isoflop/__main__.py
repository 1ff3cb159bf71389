"""`isoflop COMMAND ...`: each command's module is imported only when it is called."""

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoflop import __version__

COMMANDS = {
    "train": ("train.__main__", "train one model from scratch"),
    "sweep": ("sweeps.__main__", "plan, launch, watch and collect many runs"),
    "eval": ("eval.__main__", "ask checkpoints to solve tasks"),
    "analyze": ("analysis.__main__", "fit scaling laws and write the report"),
    "predict": ("analysis.predict", "the loss of N parameters on D tokens by every law"),
    "push": ("isoflop.push", "upload a sweep to Hugging Face's hub"),
    "curves": ("analysis.curves", "one law of whole loss curves under any schedule"),
    "allocate": ("analysis.allocate", "what to train with a budget, and what is cheap to serve"),
    "optima": ("analysis.optima", "power laws through optima whose runs nobody has"),
    "demo": ("isoflop.demo", "all of these on two small sweeps, in minutes"),
    "gpu-check": ("isoflop.gpu_check", "what this machine's GPU must prove, in minutes"),
}
"""The module that holds a command, as COMMAND or main, and what it does."""

COMPLETION = """\
completion of verbs, paths and settings: pip install 'isoflop[completion]', and in the shell's
start-up file  eval "$(register-python-argcomplete isoflop)\""""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status."""
    _without_working_directory()
    made = parser()
    _complete(made)
    options = made.parse_args(argv)
    from train.commands.imports import imports_that_stay

    with imports_that_stay():
        module = importlib.import_module(COMMANDS[options.command][0])
    prog = f"isoflop {options.command}"
    if not hasattr(module, "COMMAND"):
        sys.exit(module.main(options.arguments, prog))
    from train.commands.command_line import run_command

    run_command(module.COMMAND, options.arguments, prog)


def parser() -> argparse.ArgumentParser:
    """The commands by name; what follows one is read by itself."""
    lines = [f"  {name:10} {description}" for name, (_, description) in COMMANDS.items()]
    made = argparse.ArgumentParser(
        prog="isoflop",
        usage="isoflop COMMAND [arguments]; isoflop COMMAND --help",
        description="Train the grid, fit the law, test the mirage: scaling-law sweeps of language "
        "models, from one run to the report.",
        epilog="\n".join(["commands:", *lines, "", COMPLETION]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"isoflop {__version__}")
    made.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    words = made.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    words.completer = completions  # type: ignore[attr-defined]
    return made


def completions(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """What may follow on a command line: verbs, paths and settings of the command so far.

    Args:
        prefix: The word that is being typed.
        parsed_args: The words before it.
    """
    from argcomplete.completers import FilesCompleter  # pyright: ignore[reportMissingImports]

    from train.config.keys import keys

    command = getattr(importlib.import_module(COMMANDS[parsed_args.command][0]), "COMMAND", None)
    found = list(FilesCompleter()(prefix))
    if command is None:
        return found
    verbs = [] if parsed_args.arguments else list(command.verbs)
    return [*verbs, *found, *(f"{key.name}=" for key in keys(command.config))]


def _complete(made: argparse.ArgumentParser) -> None:
    """Answer a shell that asks what may follow, and exit; without argcomplete it gets nothing."""
    if "_ARGCOMPLETE" in os.environ and importlib.util.find_spec("argcomplete"):
        import argcomplete  # pyright: ignore[reportMissingImports]

        argcomplete.autocomplete(made)


def _without_working_directory() -> None:
    """Take out what `python -m isoflop` puts first: a user's own train.py there would win."""
    here = Path(__file__).resolve().parents[1]
    first = Path(sys.path[0] or os.getcwd()).resolve()
    if first == Path.cwd().resolve() and first != here:
        del sys.path[0]


if __name__ == "__main__":
    main()
