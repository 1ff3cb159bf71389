"""What a data file is, by its first bytes and not by its name: text, rows, token ids or neither."""

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from train.config.spec import SpecError

HEAD_BYTES = 1 << 16
"""Read to recognise a file."""

LONGEST_ROW = 1 << 24
"""Bytes of a first line that may be a row of JSON lines."""

COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}

TOKEN_MAGICS = {20240520: "uint16", 20240801: "uint32"}
"""First int32 of llm.c's and modded-nanogpt's .bin, whose header has 256 of them, and its ids."""

MAGICS = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"\x93NUMPY": "npy",
    b"MMIDIDX": "megatron",
    **{magic.to_bytes(4, "little"): "nanogpt" for magic in TOKEN_MAGICS},
}

TEXT_KINDS = (
    "plain text, JSON lines, parquet and arrow with a text column, each also compressed with gzip, "
    "bz2, xz or zstd"
)
TOKEN_KINDS = (
    ".bin of nanoGPT and modded-nanogpt, .npy, Megatron .bin/.idx, Hugging Face datasets saved to "
    "disk, arrow and parquet with a column of token ids"
)


@dataclass(frozen=True)
class FileKind:
    """`name`: text, jsonl, parquet, arrow, dataset, npy, megatron, nanogpt or binary."""

    name: str
    compression: str | None = None


def recognise(path: Path) -> FileKind:
    """The kind of a file or of a directory that `datasets` saved.

    Raises:  SpecError: it can't be read.
    """
    try:
        if path.is_dir():
            return FileKind("dataset")
        if path.suffix == ".bin" and path.with_suffix(".idx").is_file():
            return FileKind("megatron")
        with path.open("rb") as raw:
            start = raw.read(8)
        compression = _by_start(start, COMPRESSIONS)
        with opened(path, compression) as stream:
            head = stream.read(HEAD_BYTES)
            name = _by_start(head, MAGICS)
            if name is not None:
                return FileKind(name, compression)
            if b"\0" in head:
                return FileKind("binary", compression)
            return FileKind("jsonl" if _first_is_row(head, stream) else "text", compression)
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise SpecError(f"data file {path} can't be read: {error}") from error


def by_suffix(path: Path) -> FileKind:
    """The kind by the name alone, as the first release told it; its shards stay what they were."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
    compression = packed.get(suffixes[-1]) if suffixes else None
    kind = (suffixes[:-1] if compression else suffixes)[-1:]
    names = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    return FileKind(names.get(kind[0], "text") if kind else "text", compression)


def require_text(path: Path, kind: FileKind) -> None:
    """Refuse what holds no text.

    Raises:  SpecError: token ids, or bytes that are no text, with the kinds that are read.
    """
    if kind.name in ("text", "jsonl", "parquet", "arrow", "dataset"):
        return
    what = "holds no text" if kind.name == "binary" else f"holds token ids ({kind.name})"
    raise SpecError(
        f"data file {path} {what}; data=text reads {TEXT_KINDS}; token ids are read by "
        f"data=tokens: {TOKEN_KINDS}"
    )


@contextmanager
def opened(path: Path, compression: str | None) -> Iterator[IO[bytes]]:
    """A file's uncompressed bytes as a stream.

    Raises:  OSError: it can't be opened.
    """
    with path.open("rb") as raw, decompressed(raw, compression) as stream:
        yield stream


@contextmanager
def decompressed(raw: BinaryIO, compression: str | None) -> Iterator[IO[bytes]]:
    """The content of an open compressed file, whose own position tells how far reading is."""
    if compression is None:
        yield raw
    elif compression == "zstd":
        import pyarrow as pa

        with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd") as stream:
            yield io.BufferedReader(stream)  # type: ignore[arg-type]
    else:
        kinds = {"gzip": gzip.GzipFile, "bz2": bz2.BZ2File, "xz": lzma.LZMAFile}
        stream = (
            gzip.GzipFile(fileobj=raw) if compression == "gzip" else kinds[compression](raw)  # type: ignore[call-overload]
        )
        with stream:
            yield stream  # type: ignore[misc]


def _by_start(head: bytes, names: dict[bytes, str]) -> str | None:
    return next((name for magic, name in names.items() if head.startswith(magic)), None)


def _first_is_row(head: bytes, stream: IO[bytes]) -> bool:
    """Whether the first line that is not empty is an object in JSON."""
    head = head.lstrip()
    if not head.startswith(b"{"):
        return False
    line, newline, _ = head.partition(b"\n")
    if not newline:
        line += stream.readline(LONGEST_ROW)
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
