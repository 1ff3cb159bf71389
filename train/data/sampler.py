"""Which window of which data part fills each row of each batch: a pure function of (seed, step).

A row's number is step * rows_per_batch + position. A mixture deals rows to its parts in fixed
blocks with exact quotas, so how many windows a part has given before any row is known without
counting; a part's windows come in a keyed permutation, a new one each epoch.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BLOCK = 1024
"""Rows in which each part's share is exact (to one row)."""


@dataclass(frozen=True)
class Draw:
    """Windows to read: part index and window index of each row, both int64 of shape (rows,)."""

    part: NDArray[np.int64]
    window: NDArray[np.int64]


def draw(
    step: int, rows_per_batch: int, weights: list[float], n_windows: list[int], seed: int
) -> Draw:
    """The rows of batch `step`.

    Args:    weights: share of each part, > 0; n_windows: windows on hand in each part.
    Returns: Draw with rows_per_batch entries.
    """
    rows = np.arange(step * rows_per_batch, (step + 1) * rows_per_batch, dtype=np.int64)
    part, ordinal = _deal(rows, _quotas(tuple(weights)))
    window = np.empty_like(rows)
    for index, count in enumerate(n_windows):
        chosen = part == index
        epoch, offset = np.divmod(ordinal[chosen], count)
        picked = np.empty_like(offset)
        for number in np.unique(epoch):
            same = epoch == number
            picked[same] = permute(offset[same], count, key=(seed, index, int(number)))
        window[chosen] = picked
    return Draw(part=part, window=window)


@lru_cache(maxsize=16)
def _quotas(weights: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(quotas(list(weights), BLOCK))


def quotas(weights: list[float], block: int) -> list[int]:
    """Rows of a block for each part, by largest remainder, at least one each."""
    total = sum(weights)
    exact = [weight / total * block for weight in weights]
    counts = [max(1, int(share)) for share in exact]
    while sum(counts) < block:
        short = max(range(len(exact)), key=lambda i: exact[i] - counts[i])
        counts[short] += 1
    while sum(counts) > block:
        over = max(range(len(exact)), key=lambda i: counts[i] - exact[i] if counts[i] > 1 else -1e9)
        counts[over] -= 1
    return counts


def _deal(
    rows: NDArray[np.int64], counts: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Part of each row, and how many earlier rows went to the same part."""
    pattern, within = _pattern(counts)
    block, place = np.divmod(rows, len(pattern))
    part = pattern[place]
    return part, block * np.asarray(counts, dtype=np.int64)[part] + within[place]


@lru_cache(maxsize=16)
def _pattern(counts: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parts spread evenly over one block, and each entry's rank within its own part."""
    part = np.repeat(np.arange(len(counts)), counts)
    rank = np.concatenate([np.arange(count) for count in counts])
    position = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    order = np.lexsort((part, position))
    return part[order].astype(np.int64), rank[order].astype(np.int64)


def permute(index: NDArray[np.int64], n: int, key: tuple[int, ...]) -> NDArray[np.int64]:
    """A bijection of [0, n) that needs no table: a keyed Feistel network, walked until in range.

    Args:    index: int64, each in [0, n); key: integers that choose the bijection.
    Source:  Black and Rogaway 2002 (cycle walking), with a 64-bit mix as the round function.
    """
    half_bits = max(1, (max(n - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half_bits) - 1)
    rounds = _constants(key)
    out = index.astype(np.uint64)
    outside = np.ones(out.shape, dtype=bool)
    while outside.any():
        left, right = out[outside] >> np.uint64(half_bits), out[outside] & mask
        for constant in rounds:
            left, right = right, left ^ (_mix(right + constant) & mask)
        out[outside] = (left << np.uint64(half_bits)) | right
        outside = out >= np.uint64(n)
    return out.astype(np.int64)


@lru_cache(maxsize=64)
def _constants(key: tuple[int, ...]) -> NDArray[np.uint64]:
    """The constants of the four rounds."""
    return np.random.SeedSequence(list(key)).generate_state(4, np.uint64).astype(np.uint64)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al. 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
