"""Ctrl-C once stops cleanly, twice at once: two callbacks behind SIGINT and SIGTERM."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def on_interrupt(
    first: Callable[[int], None], again: Callable[[int], None]
) -> Iterator[Callable[[], bool]]:
    """Call `first` on the first SIGINT, SIGTERM or SIGUSR2 and `again` on each further one.

    Both are told the signal's number. Yields a function that says whether any has come. The former
    handlers come back at the end; off the main thread, where none can be set, nothing is caught.
    """
    # No threading.Event, whose lock a signal within the handler of another would wait for forever.
    asked: list[int] = []

    def has_been_asked() -> bool:
        return bool(asked)

    if threading.current_thread() is not threading.main_thread():
        yield has_been_asked
        return

    def note(number: int, frame: Any) -> None:
        known = has_been_asked()
        asked.append(number)
        (again if known else first)(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
    former = {number: signal.signal(number, note) for number in numbers}
    try:
        yield has_been_asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
