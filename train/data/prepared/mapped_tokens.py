"""Tokens that lie in files as they are: the splits are ranges of them, and nothing is rewritten.

Text that was tokenised here and files of ids that somebody else made are read alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data.file_io import checksum
from train.data.token_shards import ShardError
from train.rundir.atomic import RecordError, read_json, write_atomic, write_json

SPLITS = ("train", "val")


class TokenView:
    """Ranges of one-dimensional arrays that lie one after another, indexed as one array."""

    def __init__(self, arrays: list[NDArray[Any]], ranges: NDArray[np.int64]) -> None:
        """Args:    ranges: (n, 2) starts and stops in the arrays joined together."""
        bounds = np.cumsum([0, *map(len, arrays)])
        # A range that crosses from one array into the next becomes two.
        edges = bounds[1:-1]
        inner = [
            edges[(edges > start) & (edges < stop)] if len(edges) else edges
            for start, stop in ranges
        ]
        cuts = [
            np.concatenate([[start], mid, [stop]])
            for (start, stop), mid in zip(ranges, inner, strict=True)
        ]
        starts = np.concatenate([c[:-1] for c in cuts]) if cuts else np.empty(0, np.int64)
        stops = np.concatenate([c[1:] for c in cuts]) if cuts else np.empty(0, np.int64)
        self._arrays = arrays
        self._array = np.searchsorted(bounds, starts, side="right") - 1
        self._offset = starts - bounds[self._array]
        self._first = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens at these places, in the shape of `index`."""
        segment = np.searchsorted(self._first, index, side="right") - 1
        place = index - self._first[segment] + self._offset[segment]
        which = self._array[segment]
        if len(self._arrays) == 1:
            return self._arrays[0][place].astype(np.int64)
        found = np.empty(index.shape, np.int64)
        for number in np.unique(which):
            chosen = which == number
            found[chosen] = self._arrays[number][place[chosen]]
        return found

    def blocks(self, length: int) -> Iterator[NDArray[np.int64]]:
        """All tokens in order, so many at a time."""
        for start in range(0, len(self), length):
            yield self[np.arange(start, min(start + length, len(self)))]


@dataclass(frozen=True)
class MappedTokens:
    """One data part whose splits are ranges of mapped arrays; it is read as a `Shard` is.

    `counts` holds, per split: n_tokens, n_documents and n_text_bytes (None: not known).
    `checksums`: SHA-256 of files that were written here, which `verify` compares.
    """

    directory: Path
    fingerprint: str
    arrays: list[NDArray[Any]]
    ranges: dict[str, NDArray[np.int64]]
    counts: dict[str, dict[str, Any]]
    checksums: dict[str, str]
    max_id: int
    row_length: None = None

    def n_windows(self, split: str, seq_len: int) -> int:
        return (self.counts[split]["n_tokens"] - 1) // seq_len

    def bytes_per_token(self, split: str) -> float | None:
        counts = self.counts[split]
        return counts["n_text_bytes"] / counts["n_tokens"] if counts["n_text_bytes"] else None

    def open(self, split: str) -> tuple[TokenView, None]:
        return TokenView(self.arrays, self.ranges[split]), None

    def verify(self) -> None:
        """Compare what was written here with its checksums.

        Raises:  ShardError: a file differs.
        """
        for name, expected in self.checksums.items():
            path = self.directory / name
            if checksum(path) != expected:
                raise ShardError(
                    f"{path} is damaged: its checksum differs; delete {self.directory} to rebuild"
                )


def save_splits(
    directory: Path, meta: dict[str, Any], ranges: dict[str, NDArray[np.int64]]
) -> None:
    """Write the splits of a part, meta.json last: with it the directory counts as complete."""
    for split in SPLITS:
        write_atomic(directory / f"{split}.ranges", ranges[split].astype("<i8").tobytes())
    write_json(directory / "meta.json", meta)


def load_splits(directory: Path, arrays: list[NDArray[Any]]) -> MappedTokens:
    """The splits that `save_splits` wrote, of these arrays.

    Raises:  ShardError: unreadable, or of other arrays.
    """
    try:
        meta = read_json(directory / "meta.json")
        ranges = {
            split: np.fromfile(directory / f"{split}.ranges", "<i8").reshape(-1, 2)
            for split in SPLITS
        }
        n_tokens = meta.pop("n_tokens")
        found = MappedTokens(directory=directory, arrays=arrays, ranges=ranges, **meta)
    except (RecordError, OSError, TypeError, KeyError, ValueError) as error:
        raise ShardError(f"data shard {directory}: {error}; delete it to rebuild") from error
    if (held := sum(map(len, arrays))) != n_tokens:
        raise ShardError(
            f"data shard {directory} is of {n_tokens} tokens and the files hold {held}: it is "
            f"truncated; delete {directory} to rebuild"
        )
    return found
