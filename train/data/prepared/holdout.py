"""Which pieces of a corpus are validation: those of lowest hash, until there are tokens enough.

A piece that occurs twice is on one side with all its copies; validation counts and reads it once.
Memory depends on the tokens that are held out and not on the corpus.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.config.spec import SpecError
from train.data.text_files import MAX_VAL_SHARE

PIECE = np.dtype([("hash", "<u8"), ("n_tokens", "<u4"), ("n_bytes", "<u4"), ("ends", "u1")])
"""What is kept of a piece: hash of its content, tokens, bytes of text, whether a document ends."""


def held_out_ranges(
    chunks: Callable[[], Iterator[NDArray[Any]]], wanted: int, name: str
) -> tuple[dict[str, NDArray[np.int64]], dict[str, dict[str, Any]]]:
    """Token ranges of each split, int64 (n, 2), and their counts of tokens, documents and bytes.

    Args:
        chunks: All pieces in order, PIECE records, some at a time; called twice.
        wanted: Validation tokens; one more is held out, for the label of the last.
        name: Of the data part, for messages.
    Raises:  SpecError: more than `MAX_VAL_SHARE` of the tokens would be held out.
    """
    limit = _highest_hash(chunks(), wanted + 1, name)
    edges: dict[str, list[NDArray[np.int64]]] = {"train": [], "val": []}
    counts = {
        split: {"n_tokens": 0, "n_documents": 0, "n_text_bytes": 0} for split in ("train", "val")
    }
    seen: set[int] = set()
    start = 0
    for pieces in chunks():
        stops = start + pieces["n_tokens"].astype(np.int64).cumsum()
        starts = stops - pieces["n_tokens"]
        low = pieces["hash"] <= limit
        first = np.zeros(len(pieces), bool)
        for index in np.flatnonzero(low):
            first[index] = int(pieces["hash"][index]) not in seen
            seen.add(int(pieces["hash"][index]))
        for split, chosen in (("train", ~low), ("val", first)):
            edges[split].append(np.stack([starts[chosen], stops[chosen]], axis=1))
            counts[split]["n_tokens"] += int(pieces["n_tokens"][chosen].sum())
            counts[split]["n_documents"] += int(pieces["ends"][chosen].sum())
            counts[split]["n_text_bytes"] += int(pieces["n_bytes"][chosen].sum(dtype=np.int64))
            edges[split] = [_joined(np.concatenate(edges[split]))]
        start = int(stops[-1]) if len(stops) else start
    return {split: found[0] for split, found in edges.items()}, counts


def _highest_hash(chunks: Iterator[NDArray[Any]], wanted: int, name: str) -> int:
    """The hash up to which distinct pieces hold `wanted` tokens."""
    kept = np.empty(0, PIECE)
    total = n_pieces = 0
    for pieces in chunks:
        total += int(pieces["n_tokens"].sum(dtype=np.int64))
        n_pieces += len(pieces)
        kept = np.concatenate([kept, pieces])
        kept = kept[np.unique(kept["hash"], return_index=True)[1]]
        reached = kept["n_tokens"].astype(np.int64).cumsum()
        kept = kept[: int(np.searchsorted(reached, wanted)) + 1]
    if total == 0:
        raise SpecError(f"data part {name!r} is empty: its files hold no text")
    held = int(kept["n_tokens"].sum(dtype=np.int64))
    if held < wanted or held > MAX_VAL_SHARE * total:
        raise SpecError(
            f"data part {name!r} has {total} tokens in {n_pieces} pieces, too few to hold out "
            f"{wanted - 1} (at most {MAX_VAL_SHARE:.0%}); lower data.val_tokens or add text"
        )
    return int(kept["hash"][-1])


def _joined(ranges: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same ranges with those that touch made one."""
    if len(ranges) == 0:
        return ranges
    begins = np.concatenate([[True], ranges[1:, 0] != ranges[:-1, 1]])
    ends = np.concatenate([begins[1:], [True]])
    return np.stack([ranges[begins, 0], ranges[ends, 1]], axis=1)
