"""Texts of files, read piece by piece; their checksums; and where data is kept."""

import codecs
import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from train.config.spec import SpecError
from train.data.columns import column_chunks, saved_files
from train.data.file_kinds import FileKind, decompressed, recognise, require_text
from train.rundir.atomic import RecordError, read_json, write_json

KEPT_CHECKSUM_BYTES = 1 << 24
"""Checksums of larger files are kept in the cache, for every later process."""

CHUNK_BYTES = 1 << 20


def cache_dir() -> Path:
    """Where shards, tokenizers and downloads live: $ISOFLOP_CACHE, or ~/.cache/isoflop."""
    return Path(os.environ.get("ISOFLOP_CACHE", "~/.cache/isoflop")).expanduser()


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes; only a file that changed is read again.

    Changed: by inode, length or a time of change. A large file's is kept for other processes, so
    that a sweep's data is read for it once and not by every job.
    Raises:  OSError: the file can't be read.
    """
    return _sha256(str(path.absolute()), *_stamp(path))


def content_checksum(path: Path) -> str:
    """SHA-256 of a file, or of the rows' files of a saved dataset; nothing else in it is data.

    Raises:  SpecError: it can't be read, or is a directory and no dataset.
    """
    try:
        if path.is_dir():
            return hashlib.sha256("".join(map(checksum, saved_files(path))).encode()).hexdigest()
        return checksum(path)
    except OSError as error:
        raise SpecError(f"data file {path} can't be read: {error.strerror}") from error


def checksum_is_kept(path: Path) -> bool:
    """Whether `content_checksum` would answer without reading much."""
    if path.is_dir():
        return all(map(checksum_is_kept, saved_files(path)))
    stamp = _stamp(path)
    if stamp[1] < KEPT_CHECKSUM_BYTES:
        return True
    row = _kept(_kept_path(str(path.absolute())))
    return row is not None and row["stamp"] == list(stamp)


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _kept_path(path: str) -> Path:
    name = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return cache_dir() / "checksums" / f"{name}.json"


@lru_cache(maxsize=65536)
def _sha256(path: str, *stamp: int) -> str:
    kept = _kept_path(path)
    large = stamp[1] >= KEPT_CHECKSUM_BYTES
    if large and (row := _kept(kept)) is not None and row["stamp"] == list(stamp):
        return row["sha256"]
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if large:
        # A cache that can't be written costs time alone.
        with contextlib.suppress(RecordError):
            write_json(kept, {"path": path, "stamp": list(stamp), "sha256": digest})
    return digest


def _kept(path: Path) -> dict[str, Any] | None:
    try:
        row = read_json(path)
        return row if {"stamp", "sha256"} <= set(row) else None
    except (RecordError, TypeError):
        return None


class TextFile:
    """A file's texts in order, in pieces of bounded length, without holding the file.

    `position` is how many of its bytes on disk have been read, and `size` how many there are.
    """

    def __init__(self, path: Path, field: str, kind: FileKind | None = None) -> None:
        self.path, self.field = path, field
        self.kind = kind or recognise(path)
        require_text(path, self.kind)
        self.position = 0
        self.size = size_on_disk(path)

    def pieces(self, longest: int) -> Iterator[tuple[str, bool]]:
        """Consecutive pieces, and whether each is the last of its document; see `cut`.

        Raises:  SpecError: unreadable, broken, or a row without the field.
        """
        try:
            if self.kind.name == "text":
                yield from _with_last(_cut_stream(self._decoded(), longest))
                return
            rows = self._json_rows() if self.kind.name == "jsonl" else self._column()
            for text in rows:
                yield from _with_last(cut(text, longest))
        except (OSError, EOFError, ValueError) as error:
            raise SpecError(f"data file {self.path} can't be read: {error}") from error
        self.position = self.size

    def _decoded(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        with self.path.open("rb") as raw, decompressed(raw, self.kind.compression) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                self.position = raw.tell()
                yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)

    def _json_rows(self) -> Iterator[str]:
        with self.path.open("rb") as raw, decompressed(raw, self.kind.compression) as stream:
            for number, line in enumerate(stream, start=1):
                self.position = raw.tell()
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict) or not isinstance(row.get(self.field), str):
                    keys = ", ".join(row) if isinstance(row, dict) else type(row).__name__
                    raise SpecError(
                        f"{self.path}:{number} has no text field {self.field!r}; it has: {keys}; "
                        f"choose one with options.field"
                    )
                yield row[self.field]

    def _column(self) -> Iterator[str]:
        for chunk, share in column_chunks(self.path, self.kind.name, self.field):
            self.position = int(share * self.size)
            for start in range(0, len(chunk), 256):
                values = chunk.slice(start, 256).to_pylist()
                yield from (str(value) for value in values if value is not None)


def cut(text: str, longest: int) -> Iterator[str]:
    """Consecutive pieces of at most `longest` characters, each ended at a line's end if it can."""
    return _cut_stream(iter([text]), longest)


def _cut_stream(chunks: Iterator[str], longest: int) -> Iterator[str]:
    held = ""
    for chunk in chunks:
        held += chunk
        start = 0
        while len(held) - start > longest:
            newline = held.rfind("\n", start, start + longest)
            end = newline + 1 if newline > start else start + longest
            yield held[start:end]
            start = end
        held = held[start:]
    if held:
        yield held


def _with_last(pieces: Iterator[str]) -> Iterator[tuple[str, bool]]:
    held = None
    for piece in pieces:
        if held is not None:
            yield held, False
        held = piece
    if held is not None:
        yield held, True


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of the rows' files of a saved dataset."""
    return sum(p.stat().st_size for p in (saved_files(path) if path.is_dir() else [path]))
