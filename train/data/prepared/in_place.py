"""Files of token ids as a data part: read once to check and divide them, then mapped."""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.config.spec import SpecError, canonical_json
from train.data.file_io import cache_dir
from train.data.prepared.holdout import PIECE, held_out_ranges
from train.data.prepared.mapped_tokens import MappedTokens, TokenView, load_splits, save_splits
from train.data.text_files import VAL_PIECES
from train.data.token_files import TokenSource
from train.data.tokenizer import TextCodec
from train.rundir.atomic import write_atomic

MIN_BLOCK, MAX_BLOCK = 512, 16384
"""Tokens of the blocks of a file of ids that go to a split as a whole."""

MOST_DECODED = 1 << 22
"""Validation tokens up to which their bytes of text are counted, by decoding them."""


def ensure_in_place(root: Path, name: str, source: TokenSource, codec: TextCodec) -> MappedTokens:
    """The splits of files of ids; the first use reads all ids once, to check and to divide them.

    Raises:  SpecError: ids outside the vocabulary, or too few tokens for validation.
    """
    fingerprint = hashlib.sha256(
        canonical_json({"source": source.identity, "tokenizer": codec.identity}).encode()
    ).hexdigest()[:16]
    directory = root / fingerprint
    scan = _Scan(name, source)
    if not (directory / "meta.json").exists():
        ranges, counts = scan.splits()
        if scan.max_id >= codec.vocab_size:
            raise SpecError(
                f"data part {name!r} has token id {scan.max_id}, outside the vocabulary of "
                f"{codec.vocab_size}; set data.tokenizer to the tokenizer that made the files, or "
                f"data.tokenizer.kind=ids with data.tokenizer.vocab_size above it"
            )
        counts["val"]["n_text_bytes"] = _text_bytes(TokenView(scan.arrays, ranges["val"]), codec)
        meta = {
            "fingerprint": fingerprint,
            "counts": counts,
            "checksums": {},
            "max_id": scan.max_id,
            "n_tokens": sum(map(len, scan.arrays)),
        }
        save_splits(directory, meta, ranges)
    return load_splits(directory, scan.arrays)


def largest_id(name: str, source: TokenSource) -> int:
    """The largest id of all files, read once and then kept.

    Raises:  SpecError: a negative id.
    """
    content = canonical_json(source.identity)
    path = cache_dir() / "columns" / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.max"
    if path.exists():
        return int(path.read_text())
    scan = _Scan(name, source)
    for _ in scan.pieces(MAX_BLOCK):
        pass
    write_atomic(path, str(scan.max_id))
    return scan.max_id


class _Scan:
    """One pass over all files of a source, which learns the largest id on its way."""

    def __init__(self, name: str, source: TokenSource) -> None:
        self.name, self.source = name, source
        self.max_id = -1

    @cached_property
    def arrays(self) -> list[NDArray[Any]]:
        return [a for file in (*self.source.train, *self.source.val) for a in file.arrays]

    def splits(self) -> tuple[dict[str, NDArray[np.int64]], dict[str, dict[str, Any]]]:
        n_all = sum(map(len, self.arrays))
        if self.source.val_paths:
            n_train = sum(len(a) for file in self.source.train for a in file.arrays)
            for _ in self.pieces(MAX_BLOCK):
                pass
            ranges = {"train": np.array([[0, n_train]]), "val": np.array([[n_train, n_all]])}
            sizes = {"train": n_train, "val": n_all - n_train}
            return ranges, {split: _counts(size) for split, size in sizes.items()}
        wanted = int(self.source.val_tokens)
        block = max(MIN_BLOCK, min(MAX_BLOCK, wanted // VAL_PIECES))
        pieces = np.concatenate(list(self.pieces(block)))
        return held_out_ranges(lambda: iter([pieces]), wanted, self.name)

    def pieces(self, block: int) -> Iterator[NDArray[Any]]:
        """The blocks of all tokens in order, each with its hash, which the kind of file and the
        width of its integers do not change.
        """
        view = TokenView(self.arrays, np.array([[0, sum(map(len, self.arrays))]]))
        for tokens in view.blocks(256 * block):
            if tokens.min() < 0:
                raise SpecError(
                    f"data part {self.name!r} has the negative token id {tokens.min()}; the files "
                    f"hold no token ids, or options.dtype is another"
                )
            self.max_id = max(self.max_id, int(tokens.max()))
            starts = range(0, len(tokens), block)
            made = np.zeros(len(starts), PIECE)
            made["n_tokens"] = [len(tokens[start : start + block]) for start in starts]
            raw = tokens.astype("<u4")
            made["hash"] = [
                int.from_bytes(
                    hashlib.blake2b(raw[start : start + block].data, digest_size=8).digest(), "big"
                )
                for start in starts
            ]
            yield made


def _counts(n_tokens: int) -> dict[str, Any]:
    return {"n_tokens": n_tokens, "n_documents": None, "n_text_bytes": None}


def _text_bytes(view: TokenView, codec: TextCodec) -> int | None:
    """Bytes of text that validation tokens stand for; None where ids stand for no text."""
    if codec.ids_alone or len(view) > MOST_DECODED:
        return None
    batches = [[int(i) for i in block] for block in view.blocks(MAX_BLOCK)]
    texts = codec.tokenizer.decode_batch(batches, skip_special_tokens=True)
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
