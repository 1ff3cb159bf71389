"""Memory that one training step frees is kept for the next instead of going back to the system.

glibc returns a large block as soon as it is freed, so that every step of a small model asks for the
same pages again and the system clears them again: some 1,400 page faults a step and 3 to 7 % of its
time (docs/performance.md).
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Numbers of glibc's settings, from its malloc.h."""

LARGEST_KEPT = 2**28
"""Bytes of a block from which it still goes back when it is freed: clearing it is little of what
is computed on it."""

STRIDE = 2**26
"""Bytes by which the heap grows."""


@contextmanager
def freed_memory_kept() -> Iterator[bool]:
    """Keep it during the block and return it afterwards; yields False where glibc is not in use.

    The heap's settings are the process's and stay, which costs later blocks nothing.
    """
    libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    if libc is None:
        yield False
        return
    never = 2**31 - 1
    settings = (
        (M_MMAP_THRESHOLD, LARGEST_KEPT),
        (M_TRIM_THRESHOLD, never),
        (M_TOP_PAD, STRIDE),
    )
    accepted = [libc.mallopt(name, value) == 1 for name, value in settings]
    try:
        yield all(accepted)
    finally:
        libc.malloc_trim(0)
