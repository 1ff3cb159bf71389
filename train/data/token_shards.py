"""Token shards on disk: built once, found again by fingerprint, checked before use.

A shard directory holds, for each split, a flat little-endian array of token ids and (for documents
with prompts) a byte per token that says whether it carries loss. It appears under its final name
only when complete, so a reader never meets half of one.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.config.spec import IsoflopError, SpecError, canonical_json
from train.data.document import Document, Source
from train.data.file_io import checksum
from train.data.tokenizer import TextCodec
from train.rundir.atomic import RecordError, read_json, write_json

SHARD_VERSION = 1
SPLITS = ("train", "val")
BUFFER_TOKENS = 1 << 22


class ShardError(IsoflopError):
    """A token shard that is missing, truncated or damaged."""


@dataclass(frozen=True)
class Shard:
    """One data part, tokenised. `row_length` is set where whole documents are packed into rows.

    `counts` holds, per split: n_tokens, n_documents, n_text_bytes, sha256 of the tokens.
    """

    directory: Path
    fingerprint: str
    vocab_size: int
    dtype: str
    row_length: int | None
    counts: dict[str, dict[str, Any]]

    def n_windows(self, split: str, seq_len: int) -> int:
        """Training windows of seq_len inputs and as many labels."""
        n_tokens = self.counts[split]["n_tokens"]
        return n_tokens // self.row_length if self.row_length else (n_tokens - 1) // seq_len

    def bytes_per_token(self, split: str) -> float:
        return self.counts[split]["n_text_bytes"] / self.counts[split]["n_tokens"]

    def open(self, split: str) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        """Memory-mapped tokens and loss mask (None: every token carries loss).

        Raises:  ShardError: the files' sizes disagree with meta.json.
        """
        n_tokens = self.counts[split]["n_tokens"]
        tokens = _map(self.directory / f"{split}.tokens", self.dtype, n_tokens)
        mask = (
            _map(self.directory / f"{split}.mask", "uint8", n_tokens) if self.row_length else None
        )
        return tokens, mask

    def verify(self) -> None:
        """Compare every file's checksum with meta.json's.

        Raises:  ShardError: a file differs; the message says which and how to rebuild.
        """
        for split in SPLITS:
            path = self.directory / f"{split}.tokens"
            self.open(split)
            if checksum(path) != self.counts[split]["sha256"]:
                raise ShardError(
                    f"{path} is damaged: its checksum differs; delete {self.directory} to rebuild"
                )


def ensure_shard(
    root: Path, name: str, source: Source, codec: TextCodec, row_length: int | None
) -> Shard:
    """The shard of a source under a codec, built if it is not there yet.

    Raises:  SpecError: a source with too little text for its splits; ShardError: a damaged shard.
    """
    content = {
        "version": SHARD_VERSION,
        "source": source.identity,
        "tokenizer": codec.identity,
    }
    fingerprint = hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]
    directory = root / (f"{fingerprint}-rows{row_length}" if row_length else fingerprint)
    if not (directory / "meta.json").exists():
        _build(directory, name, source, codec, row_length, fingerprint)
    return load_shard(directory)


def load_shard(directory: Path) -> Shard:
    """A shard that is already on disk.

    Raises:  ShardError: unreadable meta.json.
    """
    try:
        meta = read_json(directory / "meta.json")
        return Shard(directory=directory, **meta)
    except (RecordError, TypeError) as error:
        raise ShardError(f"data shard {directory}: {error}; delete it to rebuild") from error


def _build(
    directory: Path,
    name: str,
    source: Source,
    codec: TextCodec,
    row_length: int | None,
    fingerprint: str,
) -> None:
    dtype = "uint16" if codec.vocab_size <= 65536 else "uint32"
    building = directory.with_name(f".{directory.name}.{uuid.uuid4().hex[:8]}")
    try:
        building.mkdir(parents=True)
        counts = {}
        for split in SPLITS:
            counts[split] = _write_split(building, split, source, codec, row_length, dtype)
            if counts[split]["n_tokens"] == 0:
                raise SpecError(f"data source {name!r} is empty: its {split} split has no tokens")
        meta = {
            "fingerprint": fingerprint,
            "vocab_size": codec.vocab_size,
            "dtype": dtype,
            "row_length": row_length,
            "counts": counts,
        }
        write_json(building / "meta.json", meta)
        if (directory / "meta.json").exists():
            return  # another process was quicker, and others may be reading what it built
        if directory.exists():
            shutil.rmtree(directory)
        os.rename(building, directory)
    except OSError as error:
        if not (directory / "meta.json").exists():
            raise ShardError(
                f"can't write data shards under {directory.parent}: {error}"
            ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_split(
    directory: Path,
    split: str,
    source: Source,
    codec: TextCodec,
    row_length: int | None,
    dtype: str,
) -> dict[str, Any]:
    """Write one split's files; returns its counts."""
    digest, totals = hashlib.sha256(), {"n_tokens": 0, "n_documents": 0, "n_text_bytes": 0}
    separator = np.full(0 if row_length else 1, codec.end_id, dtype=np.int64)
    encoded = _encoded(source.documents(split, row_length), codec, separator, totals)
    chunks = _rows(encoded, row_length, codec.end_id) if row_length else _stream(encoded)
    with (
        (directory / f"{split}.tokens").open("wb") as tokens_file,
        (directory / f"{split}.mask").open("wb") as mask_file,
    ):
        for tokens, mask in chunks:
            raw = tokens.astype(dtype).tobytes()
            digest.update(raw)
            tokens_file.write(raw)
            if row_length:
                mask_file.write(mask.astype(np.uint8).tobytes())
            totals["n_tokens"] += len(tokens)
    return {**totals, "sha256": digest.hexdigest()}


Encoded = tuple[NDArray[np.int64], NDArray[np.bool_]]


def _encoded(
    documents: Iterator[Document],
    codec: TextCodec,
    separator: NDArray[np.int64],
    totals: dict[str, int],
) -> Iterator[Encoded]:
    """Ids and loss mask of each document, the separator appended where a document ends."""
    for document in documents:
        prompt = codec.encode(document.text[: document.loss_from]) if document.loss_from else None
        answer = codec.encode(document.text[document.loss_from :])
        if document.ends:
            answer = np.concatenate([answer, separator])
        ids = answer if prompt is None else np.concatenate([prompt, answer])
        mask = np.ones(len(ids), dtype=bool)
        mask[: len(ids) - len(answer)] = False
        totals["n_documents"] += 1
        totals["n_text_bytes"] += len(document.text.encode("utf-8", "surrogatepass"))
        yield ids, mask


def _stream(encoded: Iterator[Encoded]) -> Iterator[Encoded]:
    """All documents in one stream, in chunks of bounded size."""
    pending: list[Encoded] = []
    held = 0
    for pair in encoded:
        pending.append(pair)
        held += len(pair[0])
        if held >= BUFFER_TOKENS:
            yield _joined(pending)
            pending, held = [], 0
    if pending:
        yield _joined(pending)


def _rows(encoded: Iterator[Encoded], length: int, end_id: int) -> Iterator[Encoded]:
    """Rows of `length` tokens, each holding as many whole documents as fit, padded without loss."""
    pending: list[Encoded] = []
    used, held = 0, 0
    for ids, mask in encoded:
        if len(ids) > length:
            raise SpecError(
                f"a document of {len(ids)} tokens does not fit model.seq_len={length - 1}; "
                f"raise model.seq_len to at least {len(ids)}"
            )
        if used + len(ids) > length:
            pending.append(_padding(length - used, end_id))
            held, used = held + length, 0
            if held >= BUFFER_TOKENS:
                yield _joined(pending)
                pending, held = [], 0
        pending.append((ids, mask))
        used += len(ids)
    if pending:
        pending.append(_padding(length - used, end_id))
        yield _joined(pending)


def _padding(count: int, end_id: int) -> Encoded:
    return np.full(count, end_id, dtype=np.int64), np.zeros(count, dtype=bool)


def _joined(pairs: list[Encoded]) -> Encoded:
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])


def _map(path: Path, dtype: str, n_tokens: int) -> NDArray[Any]:
    expected = n_tokens * np.dtype(dtype).itemsize
    try:
        got = path.stat().st_size
    except OSError as error:
        raise ShardError(f"{path} is missing; delete {path.parent} to rebuild") from error
    if got != expected:
        raise ShardError(
            f"{path} has {got} bytes, expected {expected}: it is truncated; "
            f"delete {path.parent} to rebuild"
        )
    return np.memmap(path, dtype=dtype, mode="r")
