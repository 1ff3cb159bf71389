"""Progress of an evaluation, and what was left out of it and why, on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eval.evaluate import Advance
from train.commands.console import DataConsole
from train.commands.terminal import say, visible


@contextmanager
def progress(total: int, what: str) -> Iterator[Advance]:
    """A bar on a terminal, a line every tenth elsewhere; a total of 0 is one that is not known."""
    if sys.stderr.isatty():
        label = TextColumn("{task.description}", markup=False)
        columns = (label, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=DataConsole(stderr=True)) as bar:
            number = bar.add_task(visible(what), total=total or None)
            yield lambda n: bar.advance(number, n)
        return
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        before, done = done, done + n
        if total and 10 * before // total < 10 * done // total:
            say(f"{what}: {done} of {total}", sys.stderr)

    yield advance


def say_reasons(what: str, by_reason: dict[str, list[str]]) -> None:
    """One line per reason: how many it holds for, and the first of their names."""
    for reason, names in by_reason.items():
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        say(f"{what}: {len(names)} ({shown}): {reason}", sys.stderr)
