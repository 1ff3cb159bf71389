"""Imports of large libraries without Python's looks for garbage among what stays."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_that_stay() -> Iterator[None]:
    """Import inside of it what a process keeps to its end.

    torch and transformers make a million objects. Looking through them for cycles takes a tenth of
    the time of importing them, as long again whenever a command has made some objects of its own,
    and a second once more at the end of a process that trained; they are left out from here on.
    """
    atexit.register(gc.freeze)  # what was imported since, too
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
