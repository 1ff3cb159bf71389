"""All that one checkpoint is asked, answered by ourselves or through the harness."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from eval.evaluate import CheckpointRef, evaluate_set
from eval.harness.ask import NamedTasks, ask_named
from eval.lm.responses import GenerationSettings
from eval.tasks.eval_set import EvalSet
from train.commands.terminal import say

Sets = Sequence[EvalSet | NamedTasks]
"""Our own sets of items, and benchmarks by the harness's names."""


def answered(
    target: CheckpointRef,
    sets: Sets,
    settings: GenerationSettings,
    device: str,
    again: bool,
    advance: Callable[[int], None],
) -> list[Path]:
    """Answer what has no stored result yet; the summaries' paths, all sets'.

    Raises:  CheckpointError, TaskError: nothing is written for the set that failed.
    """
    own = [one for one in sets if isinstance(one, EvalSet)]
    named = [one for one in sets if isinstance(one, NamedTasks)]
    paths = evaluate_set(target, own, settings, device, again, advance) if own else []
    return paths + (ask_named(target, named, settings, device, again, advance) if named else [])


def n_items(sets: Sets) -> int:
    """Items to ask; the harness says how many requests it has only once its data are loaded."""
    own = (one for one in sets if isinstance(one, EvalSet))
    return sum(len(items) for one in own for items in one.splits.values())


def say_excluded(sets: Sets) -> None:
    """Name what a file holds that is not asked or not computed."""
    for one in sets:
        if isinstance(one, EvalSet):
            for what, n in one.excluded.items():
                say(f"{one.task}: {what}" + (f" ({n})" if n > 1 else ""), sys.stderr)
