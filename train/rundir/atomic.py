"""Files of results that are whole or not there: atomic writes, JSON, and lines of JSON."""

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from train.config.spec import IsoflopError

BAD_JSON = (ValueError, RecursionError)
"""What text that is no JSON raises, by being malformed or nested a thousand deep."""


class RecordError(IsoflopError):
    """A file of a run directory that can't be read or written."""


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace a file by new content so that a reader sees the old one or the new one, whole.

    Raises:  RecordError: the directory is read-only or the disk is full; the old file stays.
    """
    data = content.encode() if isinstance(content, str) else content
    # Created as any file of this user is, so that the umask and a directory's own rules apply.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RecordError(f"can't write {path}: {error.strerror or error}") from error


def write_json(path: Path, content: Any) -> None:
    """`write_atomic` of indented JSON; NaN is refused because other readers can't parse it."""
    write_atomic(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parsed JSON of a file.

    Raises:  RecordError: missing, unreadable, truncated or garbage; the message names the path.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(f"{path} is missing") from error
    except (OSError, *BAD_JSON) as error:
        raise RecordError(
            f"{path} can't be read as JSON ({error}); delete it to redo it"
        ) from error


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Append one JSON line in a single write, so that concurrent readers see whole lines.

    After the torn line of a process that was killed, the row begins a line of its own.
    Raises:  RecordError: the disk is full or read-only; the file is as it was before.
    """
    line = (json.dumps(row, allow_nan=True) + "\n").encode()
    try:
        # Without a buffer, whose rest would be written again when the file is closed.
        with path.open("ab", buffering=0) as file:
            former = file.tell()
            line = (b"" if _ends_a_line(path, former) else b"\n") + line
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(file.fileno(), former)
                raise
    except OSError as error:
        raise RecordError(f"can't append to {path}: {error.strerror or error}") from error


def _ends_a_line(path: Path, size: int) -> bool:
    if size == 0:
        return True
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Every whole JSON object line of a file; a missing file has none, a torn line is passed over.

    A process killed while appending leaves at most one torn line, which holds no acknowledged data.
    """
    return list(iter_jsonl(path))


def iter_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of `read_jsonl`, one at a time: a plan of 10,000 runs need not be held at once."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except BAD_JSON:
                continue
            if isinstance(row, dict):
                yield row
