"""Rows of a task's file: JSONL or parquet, packed or not, with the columns that a user names."""

import gzip
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eval.tasks.generated import TaskError

NAMES = ("prompt", "target", "choices", "answer", "accepted")


def read_bytes(path: Path) -> bytes:
    """A file's bytes, unpacked where it is gzip.

    Raises:  TaskError: missing, unreadable or damaged.
    """
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                return file.read()
        return content
    except FileNotFoundError as error:
        raise TaskError(f"path={path} does not exist") from error
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"path={path} can't be read: {error}") from error


def text_of(content: bytes, path: Path) -> str:
    """UTF-8 with or without a byte order mark.

    Raises:  TaskError: other bytes.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError(f"path={path} can't be read as UTF-8 text: {error}") from error


def rows_of(path: Path, content: bytes, columns: Mapping[str, str]) -> list[tuple[str, Any]]:
    """(where, row) of every line of JSONL or row of parquet, columns under our names.

    Lines end at line feeds alone: JSON allows U+2028, U+0085 and the like inside its strings.
    Raises:  TaskError: no JSON, no parquet, a column that no row has.
    """
    unknown = [name for name in columns if name not in NAMES]
    if unknown:
        raise TaskError(f"task.columns: {unknown[0]} is unknown; expected {', '.join(NAMES)}")
    if content.startswith(b"PAR1"):
        try:
            found = pq.read_table(io.BytesIO(content)).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise TaskError(f"path={path} can't be read as parquet: {error}") from error
        rows = [(f"{path} row {i}", row) for i, row in enumerate(found, 1)]
    else:
        lines = text_of(content, path).split("\n")
        rows = [
            (f"{path} line {i}", parsed(line, f"{path} line {i}"))
            for i, line in enumerate(lines, 1)
            if line.strip()
        ]
    return [(where, _renamed(row, columns, where)) for where, row in rows]


def _renamed(row: Any, columns: Mapping[str, str], where: str) -> Any:
    if not isinstance(row, dict) or not columns:
        return row
    for ours, theirs in columns.items():
        if theirs not in row:
            raise TaskError(
                f"{where} has no {theirs!r}, asked for as {ours}; it has {', '.join(map(str, row))}"
            )
    return row | {ours: row[theirs] for ours, theirs in columns.items()}


def parsed(text: str, where: str) -> Any:
    """JSON content.

    Raises:  TaskError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where} is no JSON ({error})") from error


def field(row: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """A field of a row, of the type that it must have.

    Raises:  TaskError: no object, no such field, another type.
    """
    if not isinstance(row, dict):
        raise TaskError(f"{where}: expected a JSON object with {name!r}; got {row!r:.60}")
    if name not in row:
        have = ", ".join(map(str, row)) or "nothing"
        raise TaskError(f"{where} has no {name!r}; it has {have}")
    if not isinstance(row[name], kind):
        raise TaskError(f"{where}: {name}={row[name]!r:.60} has the wrong type")
    return row[name]


def strings(values: Any, name: str, where: str) -> tuple[str, ...]:
    """A list of texts.

    Raises:  TaskError: anything else.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TaskError(f"{where}: {name} must be a list of texts; got {values!r:.60}")
    if not all(isinstance(value, str) for value in values):
        raise TaskError(f"{where}: {name} must be a list of texts; got {values!r:.60}")
    return tuple(values)
