"""Cells of a table to numbers and texts, with the decimal mark that the cells prove."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from analysis.data.reading.cells import decimal_evidence, is_missing, read_number
from analysis.data.table_error import TableError

MOST_LOOKED_AT = 5000
"""Distinct cells of a column that are looked at for its decimal mark."""


def decimal_marks(
    frame: pd.DataFrame, separator: str, asked: str | None, needed: Collection[str], source: str
) -> dict[str, str]:
    """The decimal mark of each column of texts.

    A column's own cells decide, then those of all others, then the separator: with semicolons
    "3,250" has decimals (a table with points has no need of semicolons), with commas it has none.

    Args:
        asked: The mark that the user sets for all columns, or None.
        needed: Columns that are read as numbers; only these have to be clear.

    Raises:
        TableError: A column that proves both marks; cells that are either and nothing decides.
    """
    if asked is not None:
        if asked not in (".", ","):
            raise TableError(f"table.decimal={asked!r} is no decimal mark; expected . or ,")
        return {str(name): asked for name in frame}
    looked = {
        str(name): decimal_evidence(_texts(column))
        for name, column in frame.items()
        if _holds_texts(column)
    }
    proven = {mark for proofs, _ in looked.values() for mark in proofs}
    marks = {}
    for name, (proofs, unclear) in looked.items():
        if len(proofs) == 2 and name in needed:
            raise TableError(
                f"{source}: column {name!r} has both {proofs['.']!r} and {proofs[',']!r}; write "
                f"one decimal mark, or set table.decimal=. or table.decimal=','"
            )
        if proofs:
            marks[name] = next(iter(proofs))
        elif unclear is None:
            marks[name] = "," if proven == {","} else "."
        elif separator in (";", ","):
            marks[name] = "," if separator == ";" or proven == {","} else "."
        elif len(proven) == 1 or name not in needed:
            marks[name] = "," if proven == {","} else "."
        else:
            raise TableError(
                f"{source}: {unclear!r} in column {name!r} may be decimals or thousands; set "
                f"table.decimal=, or table.decimal=."
            )
    return marks


def as_quantity(column: pd.Series, decimal: str) -> pd.Series:
    """A column as floats, NaN for what is missing; a cell that states no number stays as text."""
    if not _holds_texts(column):
        return column.astype(float) if pd.api.types.is_bool_dtype(column) else column
    plain = _plain_floats(column, decimal)
    if plain is not None:
        return pd.Series(plain, index=column.index, dtype=float)
    known: dict[str, object] = {}
    values = []
    for cell in column.tolist():
        if isinstance(cell, str):
            if cell not in known:
                value = None if is_missing(cell) else read_number(cell, decimal)
                known[cell] = np.nan if is_missing(cell) else cell if value is None else value
            values.append(known[cell])
        else:
            values.append(_number(cell))
    if any(isinstance(value, str) for value in values):
        return pd.Series(values, index=column.index, dtype=object)
    return pd.Series(np.array(values, dtype=float), index=column.index)


def as_plain(column: pd.Series, decimal: str) -> pd.Series:
    """A column of no known meaning: numbers where all of its cells are, else texts, None where
    missing.

    Suffixes are not applied here: "7B" may be a name.
    """
    if not _holds_texts(column) or not all(
        isinstance(cell, str) or is_missing(cell) for cell in column.tolist()
    ):
        return column
    plain = _plain_floats(column, decimal)
    texts = [None if is_missing(cell) else str(cell).strip() for cell in column.tolist()]
    if plain is not None and np.isfinite(plain).any():
        whole = np.isfinite(plain).all() and not any("." in t or "e" in t.lower() for t in texts
                                                     if t)  # fmt: skip
        small = whole and np.abs(plain).max() < 2**53
        return pd.Series(plain.astype(np.int64) if small else plain, index=column.index)
    if texts and all(t is not None and t.lower() in ("true", "false") for t in texts):
        return pd.Series([t is not None and t.lower() == "true" for t in texts],
                         index=column.index)  # fmt: skip
    return pd.Series(texts, index=column.index, dtype=object)


def share_of_numbers(column: pd.Series) -> float:
    """The share of a column's cells that state a number under either mark, of those not missing."""
    if not _holds_texts(column):
        return float(not pd.api.types.is_bool_dtype(column))
    cells = [cell for cell in column.tolist() if not is_missing(cell)][:MOST_LOOKED_AT]
    numbers = [
        not isinstance(cell, str)
        or read_number(cell, ".") is not None
        or read_number(cell, ",") is not None
        for cell in cells
    ]
    return sum(numbers) / len(numbers) if numbers else 0.0


def label_columns(frame: pd.DataFrame, most: int = 20) -> dict[str, list[str]]:
    """Columns of texts with 2 to `most` distinct values, (rows,) each; "" for what is missing."""
    found = {}
    for name, column in frame.items():
        if _holds_texts(column):
            texts = ["" if is_missing(cell) else str(cell) for cell in column.tolist()]
            if 2 <= len(set(texts)) <= most:
                found[str(name)] = texts
    return found


def _plain_floats(column: pd.Series, decimal: str) -> np.ndarray | None:
    """Floats of cells that Python reads as such; None where one is none or the mark is a comma."""
    cells = ["nan" if is_missing(cell) else cell for cell in column.tolist()]
    if decimal == ",":
        if any("." in cell for cell in cells if isinstance(cell, str)):
            cells = [cell if cell == "nan" else _from_comma(cell) for cell in cells]
        else:
            cells = [cell.replace(",", ".") if isinstance(cell, str) else cell for cell in cells]
    try:
        # Python takes 1_2 for 12, which no table means.
        if any("_" in cell for cell in cells if isinstance(cell, str)):
            return None
        return np.array([float(cell) for cell in cells])
    except (TypeError, ValueError, OverflowError):  # a JSON integer may have 400 digits
        return None


def _from_comma(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    value = read_number(cell, ",")
    return cell if value is None or not cell.strip(" +-").replace(",", "").replace(
        ".", "").isdigit() else value  # fmt: skip


def _number(cell: object) -> float | str:
    if is_missing(cell):
        return float("nan")
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return str(cell)


def _texts(column: pd.Series) -> Sequence[str]:
    found = dict.fromkeys(cell for cell in column.tolist() if isinstance(cell, str))
    return list(found)[:MOST_LOOKED_AT]


def _holds_texts(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
