"""A file of any tabular format to a frame of its cells: the one place that opens a table.

What a file is, its first bytes say; its name may say anything. Nothing here executes a file's
content: pickles are refused.
"""

import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.data.reading.delimited import split_text
from analysis.data.reading.json_tables import json_frame
from analysis.data.table_error import TableError

EXPECTED = "expected csv, tsv, json, jsonl, xlsx or parquet, also as .gz"
MOST_BYTES = 2**31
"""Most bytes of an unpacked file; a small .gz can hold any number of them."""

_REFUSED = (
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls); save it as .xlsx or csv"),
    (b"\x80\x02", "a pickle, which may run code; save it as csv or parquet"),
    (b"\x80\x03", "a pickle, which may run code; save it as csv or parquet"),
    (b"\x80\x04", "a pickle, which may run code; save it as csv or parquet"),
    (b"\x80\x05", "a pickle, which may run code; save it as csv or parquet"),
    (b"\x93NUMPY", "a numpy array without column names; save it as csv"),
    (b"\x89HDF", "an HDF5 file; save it as csv or parquet"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ", "an xz file; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file; unpack it first"),
)


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class Cells:
    """A table as it was read: text columns hold texts, typed ones what the format says.

    `separator` is that of a text table, "" for other formats.
    """

    frame: pd.DataFrame
    separator: str = ""


def read_cells(path: Path) -> Cells:
    """The cells of a table file.

    Raises:
        TableError: No such file, a format that is not read, a damaged file, no rows.
    """
    if not path.is_file():
        raise TableError(f"table={path} is not a file; {EXPECTED}")
    try:
        content = _unpacked(path.read_bytes(), str(path))
    except OSError as error:
        raise TableError(f"{path} can't be read ({error.strerror or error})") from error
    for magic, what in _REFUSED:
        if content.startswith(magic):
            raise TableError(f"{path} is {what}")
    if content.startswith(b"PAR1"):
        return Cells(_parquet(content, str(path)))
    if content.startswith(b"PK\x03\x04"):
        return Cells(_xlsx(content, str(path)))
    text = decoded(content, str(path))
    if text.lstrip()[:1] in ("{", "["):
        return Cells(_distinct(json_frame(text, str(path))))
    header, rows, separator = split_text(text, str(path))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    frame = pd.DataFrame({i: pd.Series(c, dtype=object) for i, c in enumerate(columns)})
    frame.columns = pd.Index(header)
    return Cells(_distinct(frame), separator)


def decoded(content: bytes, source: str) -> str:
    """Bytes as text: UTF-8, or UTF-16 by its mark or its zeros, else Windows-1252 (old Excel).

    Raises:
        TableError: Bytes that are no text.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\x00" in content[:1000]:
        # Without a mark the zeros of ASCII letters tell the order of bytes.
        even = content[:1000:2].count(0)
        odd = content[1:1000:2].count(0)
        encodings = ["utf-16-be" if even > odd else "utf-16-le"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeError:
            continue
        if not _CONTROL.search(text):
            return text
    raise TableError(f"{source} can't be read as a table (it is no text); {EXPECTED}")


def _unpacked(content: bytes, source: str) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(
            f"{source} can't be unpacked ({error}); it is cut or damaged, fetch it again"
        ) from error
    if len(unpacked) > MOST_BYTES:
        raise TableError(f"{source} unpacks to more than {MOST_BYTES:,} bytes; cut it in parts")
    return unpacked


def _parquet(content: bytes, source: str) -> pd.DataFrame:
    try:
        # Without pandas' own notes in the file, which may be damaged where the columns are not; an
        # index that it stored is a column like others.
        return _distinct(pq.read_table(io.BytesIO(content)).to_pandas(ignore_metadata=True))
    except (OSError, ValueError, OverflowError, MemoryError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise TableError(f"{source} can't be read as parquet ({reason}); write it again") from error


def _xlsx(content: bytes, source: str) -> pd.DataFrame:
    try:
        import openpyxl  # noqa: F401 - pandas' reader needs it and names it in no error of its own
    except ImportError as error:
        raise TableError(
            f"{source} is an Excel file, which needs openpyxl: pip install openpyxl, or save the "
            f"sheet as csv"
        ) from error
    try:
        # Calculated values, never formulas: pandas opens the workbook with data_only.
        sheets = pd.read_excel(
            io.BytesIO(content), sheet_name=None, engine="openpyxl", dtype=object, header=None
        )
    except Exception as error:  # the reader raises any class on a damaged archive or its XML
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise TableError(f"{source} can't be read as xlsx ({reason}); save it again") from error
    named = {name: _under_header(sheet) for name, sheet in sheets.items()}
    filled = {name: sheet for name, sheet in named.items() if len(sheet) and sheet.shape[1] > 1}
    if len(filled) != 1:
        raise TableError(
            f"{source} has {len(filled)} sheets with a table ({', '.join(list(filled)[:5])}); "
            f"expected one: save that sheet alone"
        )
    return _distinct(next(iter(filled.values())))


def _under_header(sheet: pd.DataFrame) -> pd.DataFrame:
    """A sheet below its first row of two texts or more; a title above has one cell alone."""
    rows = sheet.to_numpy(dtype=object).tolist()
    for number, row in enumerate(rows):
        texts = [cell for cell in row if isinstance(cell, str) and cell.strip()]
        if len(texts) >= 2:
            used = [i for i, cell in enumerate(row) if not pd.isna(cell)]
            body = pd.DataFrame(rows[number + 1 :], dtype=object)
            body = body.iloc[:, used].dropna(how="all") if len(body) else body
            return body.set_axis([row[i] for i in used], axis=1) if len(body) else body
    return sheet.iloc[:0]


def _distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with texts as column names, each once: a second 'loss' is called 'loss (2)'."""
    names: list[str] = []
    for place, column in enumerate(frame.columns):
        name = str(column).strip() or f"column {place + 1}"
        again = sum(n == name or n.startswith(f"{name} (") for n in names)
        while again and f"{name} ({again + 1})" in names:
            again += 1
        names.append(f"{name} ({again + 1})" if again and name in names else name)
    frame = frame.copy(deep=False)
    frame.columns = pd.Index(names, dtype=object)
    return frame.reset_index(drop=True)
