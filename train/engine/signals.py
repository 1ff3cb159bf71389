"""Signals that ask a run to stop: held while nobody can answer, noted and answered between steps.

A batch system signals every process of a job at once and at any moment, a start-up of seconds
included. So a process that starts others holds the signals for them (they wait, they are not lost),
and each releases them when it has a handler.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

STOPPED_EXIT = 143
"""Exit status of a process that was asked to stop where it had nothing to save."""


class Stopped(SystemExit):
    """A stop was asked for while a run was being set up or written, or between runs."""


def stop_at_once(*_: Any) -> None:
    """Signal handler for when no training loop is there to save and return.

    Further stop signals are ignored until `answer_at_once`, so that the first can have its effect.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Stopped(STOPPED_EXIT)


def hold() -> None:
    """Make stop signals wait from here on, for this process and for those that it starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def release() -> None:
    """Let stop signals through; one that was held is answered at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@contextmanager
def held() -> Iterator[None]:
    """Hold stop signals for a block: what is started in it is born with them held."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def answer_at_once() -> None:
    """Answer stop signals, those held until now included, by ending this process."""
    for number in STOP_SIGNALS:
        signal.signal(number, stop_at_once)
    release()


@contextmanager
def on_signals(
    numbers: Sequence[signal.Signals], told: Callable[[int, bool], None]
) -> Iterator[Callable[[], bool]]:
    """Note signals for a block; the former handlers come back at its end.

    Off the main thread, where no handler can be set, nothing is caught.

    Args:
        numbers: Which signals.
        told: Called with the number of each that comes, and whether one had come before it.

    Yields:
        A function that says whether any has come.
    """
    # A list and no threading.Event, whose lock is not reentrant: a signal that interrupts the
    # handler of another would wait for that lock forever.
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        asked.append(number)
        told(number, len(asked) > 1)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    former = {number: signal.signal(number, note) for number in numbers}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def stop_requests() -> AbstractContextManager[Callable[[], bool]]:
    """A function that says whether SIGTERM, SIGUSR1 or SIGUSR2 has come since the block began."""
    return on_signals(STOP_SIGNALS, lambda number, again: None)
