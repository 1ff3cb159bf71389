"""Ctrl-C once stops cleanly, twice at once: two callbacks behind SIGINT and SIGTERM."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

from train.engine.signals import on_signals


def on_interrupt(
    first: Callable[[int], None], again: Callable[[int], None]
) -> AbstractContextManager[Callable[[], bool]]:
    """Call `first` on the first SIGINT, SIGTERM or SIGUSR2 and `again` on each further one.

    Both are told the signal's number; see `train.engine.signals.on_signals`.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
    return on_signals(numbers, lambda number, known: (again if known else first)(number))
