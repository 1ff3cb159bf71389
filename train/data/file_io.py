"""Texts and checksums of files (plain, JSON lines or parquet), and where data is kept."""

import hashlib
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from train.config.spec import SpecError

COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}


def cache_dir() -> Path:
    """Where shards, tokenizers and downloads live: $ISOFLOP_CACHE, or ~/.cache/isoflop."""
    return Path(os.environ.get("ISOFLOP_CACHE", "~/.cache/isoflop")).expanduser()


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes; a process that asks again reads again only a file that changed.

    Changed: by inode, length or a time of change. A warm worker opens the same data for every run.
    Raises:  OSError: the file can't be read.
    """
    found = path.stat()
    return _sha256(str(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(maxsize=65536)
def _sha256(path: str, *_stamp: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_texts(path: Path, field: str) -> Iterator[str]:
    """The texts that a file holds: one for a plain file, one a row for JSONL and parquet.

    Args:    field: the key or column of the text.
    Raises:  SpecError: unreadable, broken, or a row without the field.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = bool(suffixes) and suffixes[-1] in COMPRESSED
    kind = (suffixes[:-1] if compressed else suffixes)[-1:]
    try:
        if kind == [".parquet"]:
            yield from _parquet(path, field)
        elif kind in ([".jsonl"], [".ndjson"]):
            yield from _jsonl(path, field)
        else:
            yield _bytes(path).decode("utf-8", errors="replace")
    except (OSError, EOFError, ValueError) as error:
        raise SpecError(f"data file {path} can't be read: {error}") from error


def _bytes(path: Path) -> bytes:
    if path.suffix.lower() not in COMPRESSED:
        return path.read_bytes()
    import pyarrow as pa

    codec = {".zst": "zstd", ".gz": "gzip", ".bz2": "bz2"}.get(path.suffix.lower())
    if codec is None:
        import lzma

        return lzma.decompress(path.read_bytes())
    with pa.input_stream(str(path), compression=codec) as stream:
        return stream.read()


def _jsonl(path: Path, field: str) -> Iterator[str]:
    for number, line in enumerate(_bytes(path).splitlines(), start=1):
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, dict) or not isinstance(row.get(field), str):
            keys = ", ".join(row) if isinstance(row, dict) else type(row).__name__
            raise SpecError(f"{path}:{number} has no text field {field!r}; it has: {keys}")
        yield row[field]


def _parquet(path: Path, field: str) -> Iterator[str]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    if field not in file.schema_arrow.names:
        names = ", ".join(file.schema_arrow.names)
        raise SpecError(f"{path} has no column {field!r}; it has: {names}")
    for batch in file.iter_batches(columns=[field]):
        yield from (str(value) for value in batch.column(0).to_pylist() if value is not None)
