"""Text tables of any separator to a header and rows of cells, all of them text."""

import csv
import io
import re

from analysis.data.reading.cells import is_missing, read_number
from analysis.data.table_error import TableError

SEPARATORS = ("\t", ";", ",", "|", " ")
"""Separators that are tried; a blank stands for any run of blanks. Of equals the first is taken."""

SNIFFED_ROWS = 200


def split_text(text: str, source: str) -> tuple[list[str], list[list[str]], str]:
    """The header, the rows (each as long as the header) and the separator of a text table.

    Lines that begin with # are comments, but for the last of them where it is the header.

    Raises:
        TableError: No header, one column alone, or a row that is longer than the header.
    """
    lines = text.splitlines(keepends=True)
    hint = re.fullmatch(r"sep=(.)\s*", lines[0]) if lines else None
    first = 1 if hint else 0
    comments = []
    while first < len(lines) and (lines[first].startswith("#") or not lines[first].strip()):
        comments += [lines[first].lstrip("# ")] if lines[first].strip("# \r\n") else []
        first += 1
    body = lines[first:]
    if not body:
        raise TableError(f"{source} can't be read as a table: it has no rows; expected a header")
    separator = hint[1] if hint else find_separator(body)
    rows = _rows("".join(body), separator, source)
    if comments and len(_rows(comments[-1], separator, source)[0]) == len(rows[0]) > 1:
        rows = [*_rows(comments[-1], separator, source), *rows]
    header, *cells = rows
    if len(header) < 2:
        raise TableError(
            f"{source} can't be read as a table: its first line {_quoted(header[0])} has one "
            f"column; expected several, separated by commas, semicolons, tabs or blanks"
        )
    if all(is_missing(name) or read_number(name) is not None for name in header):
        raise TableError(
            f"{source} has no header: its first line is numbers alone ({', '.join(header[:5])}); "
            f"put a line of column names above it"
        )
    header, cells = _aligned([name.strip() for name in header], cells, source)
    return header, cells, separator


def find_separator(lines: list[str]) -> str:
    """The separator that splits a table's first lines into equally many fields, most of all."""
    sample = "".join(lines[:SNIFFED_ROWS])

    def score(separator: str) -> tuple[float, int]:
        try:
            counts = [len(row) for row in _rows(sample, separator, "")]
        except TableError:
            return 0.0, 0
        if counts[0] < 2:
            return 0.0, 0
        return sum(count == counts[0] for count in counts) / len(counts), counts[0]

    return max(SEPARATORS, key=score)


def _rows(text: str, separator: str, source: str) -> list[list[str]]:
    try:
        if separator == " ":
            reader = csv.reader(
                (re.sub(r"[ \t]+", " ", line.strip()) for line in text.splitlines()), delimiter=" "
            )
        else:
            reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        rows = [[cell.strip() for cell in row] for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise TableError(f"{source} can't be read as a table ({error})") from error
    if not rows:
        raise TableError(f"{source} can't be read as a table: it has no rows; expected a header")
    return rows


def _aligned(
    header: list[str], rows: list[list[str]], source: str
) -> tuple[list[str], list[list[str]]]:
    """The header and rows of one length; what a row lacks at its end is empty."""
    width = len(header)
    # R writes row names under no header: one field more in every row, 1, 2, 3, ... or texts.
    if rows and all(len(row) == width + 1 for row in rows) and any(row[-1] for row in rows):
        names = [row[0] for row in rows]
        counted = names == [str(i + 1) for i in range(len(rows))]
        if counted or all(read_number(name) is None for name in names):
            header, width = ["row", *header], width + 1
    for number, row in enumerate(rows, start=2):
        if len(row) > width and any(row[width:]):
            raise TableError(
                f"{source}: row {number} has {len(row)} values where the header has {width} "
                f"columns ({_quoted(' '.join(row))}); put texts and numbers that hold the "
                f"separator in quotes"
            )
    return header, [(row + [""] * width)[:width] for row in rows]


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
