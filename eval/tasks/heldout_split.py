"""The train/held-out split: a fixed hash of the canonical problem, and of nothing else.

For any seed, any format, the number of shots or of items, a problem lands on the same side. So
a model whose training data came from the train side has provably never seen a held-out problem of
that task. (A composite task's working may contain another task's problem: 12+34+5 shows 12+34.)
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

HELDOUT_FRACTION = 0.1
"""Share of problems held out. Changing it would leak old training data, so it is no option."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def number_hash(task: str, columns: Sequence[NDArray[np.int64]]) -> NDArray[np.uint64]:
    """64-bit hash of each row of integers, under a task's name.

    Args:    columns: integer arrays of one shape (n,); put commuting operands in order first.
    Returns: shape (n,), uint64, near uniform.
    Source:  the finaliser of splitmix64 (Steele, Lea and Flood 2014), chained over the columns.
    """
    state = np.full(len(columns[0]), crc32(task.encode()), dtype=np.uint64)
    for column in columns:
        state = _finalise(state ^ _finalise(column.astype(np.uint64) + _GOLDEN))
    return state


def text_hash(task: str, problems: Sequence[str]) -> NDArray[np.uint64]:
    """64-bit hash of each canonical problem text, under a task's name; shape (n,)."""
    sums = [crc32(f"{task}\0{problem}".encode()) for problem in problems]
    return _finalise(np.array(sums, dtype=np.uint64) + _GOLDEN)


def is_heldout(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """True where a problem is held out of training; shape as `hashes`."""
    return hashes < np.uint64(int(HELDOUT_FRACTION * 2**64))


def _finalise(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))
