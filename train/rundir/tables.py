"""Parquet tables written whole: batches of rows into a file that replaces the old one."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from train.rundir.atomic import RecordError


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
