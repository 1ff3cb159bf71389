"""Parquet tables written whole: batches of rows that fit into a file that replaces the old one."""

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from train.rundir.atomic import RecordError

ARROW_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}


def write_table(path: Path, schema: pa.Schema, batches: Iterable[list[dict[str, Any]]]) -> int:
    """Write row batches as one parquet file that replaces the old one whole; returns the rows.

    Raises:  RecordError: the file can't be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    n_rows = 0
    try:
        with pq.ParquetWriter(temporary, schema) as writer:
            for batch in batches:
                if batch:
                    writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                    n_rows += len(batch)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RecordError(f"can't write {path}: {error.strerror or error}") from error
    return n_rows


def kinds_of(schema: pa.Schema) -> dict[str, type]:
    """Column -> int, float or str."""
    python = {arrow: kind for kind, arrow in ARROW_TYPES.items()}
    return {field.name: python[field.type] for field in schema}


def misfits_of(row: dict[str, Any], kinds: dict[str, type]) -> list[str]:
    """The columns of a row whose value is not of the column's kind, or beyond its range."""
    return [name for name, value in row.items() if not _fits(value, kinds[name])]


def fitting_rows(
    rows: list[dict[str, Any]], schema: pa.Schema, where: Callable[[dict], str], problems: list[str]
) -> list[dict[str, Any]]:
    """The rows that can stand in their table; each of the others is a problem with its reason."""
    kinds, kept = kinds_of(schema), []
    for row in rows:
        found = misfits_of(row, kinds)
        if found:
            values = ", ".join(f"{name}={row[name]!r:.40}" for name in found)
            problems.append(f"{where(row)}: {values} fits no column; the row is left out")
        else:
            kept.append(row)
    return kept


def _fits(value: Any, kind: type) -> bool:
    # The usual types first: this is asked of every point of every curve.
    if value is None or (type(value) is kind and kind is not int):
        return True  # NaN and infinity are floats too
    if not isinstance(value, int | float) or isinstance(value, bool) or kind is str:
        return False
    if kind is int:
        return -(2**63) <= value < 2**63 and value % 1 == 0
    return abs(value) <= sys.float_info.max
