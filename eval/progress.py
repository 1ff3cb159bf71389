"""Progress of an evaluation: a bar on a terminal, a line every tenth elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eval.evaluate import Advance
from train.config.terminal import visible


@contextmanager
def progress(total: int, what: str) -> Iterator[Advance]:
    """A bar on a terminal, a line every tenth elsewhere; a total of 0 is one that is not known."""
    if sys.stderr.isatty():
        label = TextColumn("{task.description}", markup=False)
        columns = (label, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            number = bar.add_task(visible(what), total=total or None)
            yield lambda n: bar.advance(number, n)
        return
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        before, done = done, done + n
        if total and 10 * before // total < 10 * done // total:
            print(visible(f"{what}: {done} of {total}"), file=sys.stderr)

    yield advance
