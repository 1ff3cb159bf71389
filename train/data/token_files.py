"""Files of token ids, read where they lie: mapped into memory, never copied or written again.

Parquet alone is compressed: its column is unpacked once into the cache, and mapped there.
"""

import hashlib
import itertools
import os
import pickletools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.config.spec import SpecError, require
from train.data.columns import column_chunks
from train.data.file_io import cache_dir, checksum, content_checksum
from train.data.file_kinds import TEXT_KINDS, TOKEN_KINDS, TOKEN_MAGICS, recognise
from train.rundir.atomic import read_json, write_json

TOKENS_VERSION = 1
HEADER_INTS = 256
ENDS_SEEN = 4096
"""Documents whose last token is looked at to learn the end token."""

RAW_SUFFIXES = (".bin", ".npy")
"""Names of files that may hold ids and nothing else: nanoGPT's, and OLMo's for all its suffix."""

MEGATRON_TYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}


@dataclass(frozen=True)
class TokenFile:
    """A file's tokens as one-dimensional integer arrays; `ends`: what documents were seen to end
    with; `vocab_size` where the file's own description says it.
    """

    arrays: list[NDArray[Any]]
    ends: frozenset[int] = frozenset()
    vocab_size: int | None = None


@dataclass(frozen=True)
class TokenSource:
    """Token ids on disk; validation is held out of them, or has files of its own."""

    paths: tuple[Path, ...]
    val_paths: tuple[Path, ...]
    val_tokens: float
    dtype: str | None
    field: str
    rows: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "version": TOKENS_VERSION,
            "content": [_content(path) for path in self.paths],
            "val_content": [_content(path) for path in self.val_paths],
            "val_tokens": int(self.val_tokens),
            "dtype": self.dtype,
            "field": self.field,
        }

    def entropy(self, seq_len: int) -> float | None:
        return None

    def documents(self, split: str, length: int | None = None) -> Any:
        raise SpecError(
            "data source 'tokens' holds ids and no text: a tokenizer can't be trained on it; use "
            "data.tokenizer.kind=ids, or hf with the tokenizer that made the files"
        )

    @cached_property
    def train(self) -> list[TokenFile]:
        return [open_tokens(path, self.dtype, self.field) for path in self.paths]

    @cached_property
    def val(self) -> list[TokenFile]:
        return [open_tokens(path, self.dtype, self.field) for path in self.val_paths]

    @property
    def end_id(self) -> int | None:
        """The one token that documents end with, where files have documents and all agree."""
        ends = frozenset[int]().union(*(file.ends for file in self.train))
        return next(iter(ends)) if len(ends) == 1 else None

    @property
    def vocab_size(self) -> int | None:
        """What a file says of its own vocabulary."""
        return max((f.vocab_size for f in self.train if f.vocab_size is not None), default=None)


def open_tokens(path: Path, dtype: str | None, field: str) -> TokenFile:
    """The tokens of a file of any kind that is read.

    Raises:  SpecError: text or something else, a truncated file, or ids that are no integers.
    """
    kind = recognise(path)
    require(
        kind.compression is None,
        f"data file {path} is compressed ({kind.compression}), so that its ids can't be read in "
        f"place; unpack it",
    )
    unknown = kind.name in ("text", "jsonl", "binary")
    if unknown and dtype is None and path.suffix not in RAW_SUFFIXES:
        raise SpecError(
            f"data file {path} is no file of token ids that is known; data=tokens reads "
            f"{TOKEN_KINDS}, and raw ids with options.dtype; data=text reads {TEXT_KINDS}"
        )
    read = {"npy": _npy, "megatron": _megatron, "nanogpt": _with_header}.get(kind.name)
    try:
        if read is not None:
            found = read(path)
        elif kind.name in ("parquet", "arrow", "dataset"):
            found = _rows(path, kind.name, field)
        else:
            found = _raw(path, dtype or "uint16")
    except (OSError, ValueError) as error:
        raise SpecError(f"data file {path} can't be read: {error}") from error
    for array in found.arrays:
        require(
            array.dtype.kind in "iu",
            f"data file {path} holds {array.dtype}; token ids are integers",
        )
    require(sum(map(len, found.arrays)) > 0, f"data file {path} holds no tokens")
    return found


def _npy(path: Path) -> TokenFile:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return TokenFile([array.reshape(-1)])


def _raw(path: Path, dtype: str) -> TokenFile:
    """nanoGPT's .bin: ids alone, uint16 unless told otherwise, with meta.pkl beside it or not."""
    kind = np.dtype(dtype)
    size = path.stat().st_size
    if size % kind.itemsize:
        raise SpecError(
            f"data file {path} has {size} bytes, which is no number of {dtype} ids; "
            f"set options.dtype, or it is truncated"
        )
    array = np.memmap(path, dtype=kind.newbyteorder("<"), mode="r") if size else np.empty(0, kind)
    return TokenFile([array], vocab_size=_described_vocabulary(path.with_name("meta.pkl")))


def _with_header(path: Path) -> TokenFile:
    """llm.c's and modded-nanogpt's .bin: 256 int32 with magic, version and length, then the ids.

    Every document begins with the end token.
    """
    header = np.fromfile(path, dtype="<i4", count=HEADER_INTS)
    kind = np.dtype(TOKEN_MAGICS[int(header[0])]).newbyteorder("<")
    wanted, offset = int(header[2]), 4 * HEADER_INTS
    got = (path.stat().st_size - offset) // kind.itemsize
    if got != wanted:
        raise SpecError(
            f"data file {path} has {got} tokens and its header says {wanted}: it is truncated; "
            f"fetch it again"
        )
    array = np.memmap(path, dtype=kind, mode="r", offset=offset, shape=(wanted,))
    return TokenFile([array], frozenset({int(array[0])}))


def _megatron(path: Path) -> TokenFile:
    """Megatron's .bin of ids, whose .idx has their type and where documents lie in it."""
    index = path.with_suffix(".idx")
    raw = index.read_bytes()
    if raw[:9] != b"MMIDIDX\x00\x00" or len(raw) < 34:
        raise SpecError(f"{index} is no index of Megatron (no MMIDIDX header); rebuild it")
    code = raw[17]
    if code not in MEGATRON_TYPES:
        raise SpecError(f"{index} has ids of type {code}, which are no integers")
    kind = np.dtype(MEGATRON_TYPES[code])
    n_sequences, n_documents = (int(n) for n in np.frombuffer(raw, "<u8", 2, 18))
    lengths = np.frombuffer(raw, "<i4", n_sequences, 34).astype(np.int64)
    pointers = np.frombuffer(raw, "<i8", n_sequences, 34 + 4 * n_sequences)
    documents = np.frombuffer(raw, "<i8", n_documents, 34 + 12 * n_sequences)
    array = np.memmap(path.with_suffix(".bin"), dtype=kind, mode="r")
    stops = lengths.cumsum()
    if len(stops) and (
        (pointers != (stops - lengths) * kind.itemsize).any() or stops[-1] != len(array)
    ):
        raise SpecError(
            f"{index} does not describe {path.with_suffix('.bin')}: its sequences do not lie one "
            f"after another over all {len(array)} tokens; one of the two files is of another run"
        )
    # The last sequence of a document is the one before the next document's first.
    last = stops[documents[1:] - 1][:ENDS_SEEN]
    return TokenFile([array], frozenset(int(array[stop - 1]) for stop in last if stop > 0))


def _rows(path: Path, kind: str, field: str) -> TokenFile:
    """A column of lists of ids: every row a document, its last token the end token if all agree."""
    if kind == "parquet":
        return _unpacked(path, field)
    arrays, ends = [], _Ends()
    for chunk, _ in column_chunks(path, kind, field):
        flat = ends.see(chunk)
        arrays.append(flat.to_numpy(zero_copy_only=flat.null_count == 0))
    return TokenFile(arrays, frozenset(ends.found))


class _Ends:
    """The last tokens of the first documents of a column."""

    def __init__(self) -> None:
        self.found: set[int] = set()
        self._left = ENDS_SEEN

    def see(self, chunk: Any) -> Any:
        """Look at a chunk of lists; returns its ids in one flat array of arrow's."""
        if not hasattr(chunk, "value_lengths"):
            return chunk
        flat = chunk.flatten()
        lengths = chunk.value_lengths().to_numpy(zero_copy_only=False)
        stops = np.cumsum(lengths)[lengths > 0][: self._left].astype(np.int64)
        self._left -= len(stops)
        self.found |= {int(flat[int(stop) - 1].as_py()) for stop in stops}
        return flat


def _unpacked(path: Path, field: str) -> TokenFile:
    """A parquet column's ids as int32 in the cache, written batch by batch at its first use."""
    name = hashlib.sha256(f"{checksum(path)} {field}".encode()).hexdigest()[:16]
    kept = cache_dir() / "columns" / f"{name}.int32"
    described = kept.with_suffix(".json")
    if not described.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        ends, temporary = _Ends(), kept.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            for chunk, _ in column_chunks(path, "parquet", field):
                flat = ends.see(chunk).to_numpy(zero_copy_only=False)
                require(
                    flat.dtype.kind in "iu",
                    f"data file {path} holds {flat.dtype} in {field!r}; token ids are integers",
                )
                file.write(flat.astype("<i4").tobytes())
        temporary.rename(kept)
        write_json(described, {"ends": sorted(ends.found)})
    found = frozenset(read_json(described)["ends"])
    array = np.memmap(kept, "<i4", mode="r") if kept.stat().st_size else np.empty(0, np.int32)
    return TokenFile([array], found)


def _described_vocabulary(path: Path) -> int | None:
    """`vocab_size` of the meta.pkl that nanoGPT's character-level data has beside it.

    The number behind that key is read from the pickle's operations, none of which is carried out.
    """
    if not path.is_file():
        return None
    try:
        operations = [
            (operation.name, argument)
            for operation, argument, _ in pickletools.genops(path.read_bytes())
            if operation.name not in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT")
        ]
    except (OSError, ValueError, IndexError) as error:
        raise SpecError(f"{path} has no readable vocab_size ({error}); remove it") from error
    for (_, key), (_, number) in itertools.pairwise(operations):
        if key == "vocab_size" and isinstance(number, int):
            return number
    raise SpecError(f"{path} names no vocab_size that is a number; remove it")


def _content(path: Path) -> str:
    beside = path.with_suffix(".idx")
    index = content_checksum(beside) if path.suffix == ".bin" and beside.is_file() else ""
    return content_checksum(path) + index
