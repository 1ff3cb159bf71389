"""Python's search for reference cycles, kept off what lives as long as the run."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_frozen() -> Iterator[None]:
    """Objects that exist when the block begins are not looked through until it ends.

    There are some hundred thousand, most of imported modules. A full search takes tens of
    milliseconds, as long as several steps of a small model, and finds nothing among them. What a
    step leaves is still searched. Nothing is collected here: that itself costs a warm worker more
    than its shortest runs would gain.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
