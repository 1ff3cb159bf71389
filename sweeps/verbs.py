"""The verbs of `isoflop sweep`, and what its paths and former keys stand for."""

from train.commands.command_line import Verb, text_override
from train.config.cli import UsageError

VERBS = {
    "plan": Verb("print the cost table; trains nothing", ("action=plan",)),
    "launch": Verb("train what is not done yet", ("action=launch",)),
    "status": Verb("list the runs and how far they are", ("action=status",)),
    "watch": Verb("the same, until all runs are done", ("action=status", "watch=true")),
    "retry": Verb("train again what failed: status=failed,oom,...", ("action=retry",)),
    "cancel": Verb("ask all processes that train the sweep to save and stop", ("action=cancel",)),
    "collect": Verb("rebuild the tables from the run directories", ("action=collect",)),
    "clean": Verb("delete what=state,checkpoints,... or a run", ("action=clean",)),
    "sync": Verb("upload offline W&B runs", ("action=sync",)),
    "design": Verb("search the grid of a cost, budget=FLOPs", ("action=design",)),
    "propose": Verb("what to run next after a fit", ("action=propose",)),
    "tune": Verb("search the learning rate of each cell, and fit its law", ("action=tune",)),
    "validate": Verb("train what the fit of DIR predicts", ("preset=validate", "action=launch")),
}


def paths(given: list[str], verb: str | None) -> list[str]:
    """The sweep's directory as an override: `out`, or the fit that `validate` puts to the test.

    Raises:  UsageError: there are several.
    """
    if len(given) > 1:
        raise UsageError(f"got {', '.join(given)}; expected one sweep's directory")
    return [text_override("fit" if verb == "validate" else "out", path) for path in given]


def old_only(value: str, verb: str | None) -> list[str]:
    return [f"{'what' if verb == 'clean' else 'status'}={value}"]
