"""A table's cells to a frame with this project's columns beside the file's own."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from analysis.data.reading.cells import is_missing
from analysis.data.reading.columns import as_plain, as_quantity, decimal_marks, share_of_numbers
from analysis.data.reading.formats import Cells
from analysis.data.reading.names import ALIASES, COUNTS, NUMERIC, Column, find_columns
from analysis.data.reading.units import in_base_units
from analysis.data.reading.wide import lengthened
from analysis.data.table_error import TableError

FINISHED = frozenset(("finished", "completed", "complete", "done", "success", "succeeded"))
STATES = dict.fromkeys(FINISHED, "finished") | {name: name for name in (
    "running", "crashed", "failed", "killed", "preempting", "preempted", "diverged", "pending",
    "planned", "queued", "stopped", "cancelled", "canceled", "timeout", "oom", "error",
)}  # fmt: skip
"""What a column of states may say of a run, in lower case; only finished runs are fitted."""


@dataclass(frozen=True)
class TableOptions:
    """How a table is to be read, where its own cells and headers don't tell.

    Attributes:
        columns: The file's column of a field, by field; "" for a field that is to be left alone.
        units: A factor or word such as millions by count; nats, bits or perplexity of loss.
        decimal: The decimal mark, "." or ","; None to tell it from the cells.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    decimal: str | None = None


AS_IT_SAYS = TableOptions()
"""Nothing set: cells and headers tell."""


@dataclass(frozen=True)
class Understood:
    """A frame with the design's columns, the file's own headers, and which became which."""

    frame: pd.DataFrame
    headers: tuple[str, ...]
    columns: dict[str, Column]
    notes: tuple[str, ...]

    @property
    def with_units(self) -> frozenset[str]:
        """Fields whose unit is stated, by the user or by a header."""
        return frozenset(name for name, column in self.columns.items() if column.unit)


def understand(cells: Cells, source: str, options: TableOptions) -> Understood:
    """The frame of a table with a column for each field that was recognised, in base units.

    The file's own columns stay under their own names, so that conditions can name either. A cell of
    a number that can't be read stays as its text.

    Raises:
        TableError: Columns, units or marks that were asked for and can't be had; ambiguous cells.
    """
    frame = cells.frame
    headers = [str(name) for name in frame.columns]
    _check_given(headers, options, source)
    series = {str(name): column for name, column in frame.items()}
    found = find_columns(headers, options.columns, lambda f, h: _fits(series[h], f))
    wide = lengthened(frame, found)
    if wide is not None:
        series = {str(name): column for name, column in wide.frame.items()}
        found |= {name: Column(name, name) for name in (wide.header_field, "loss")}
    found = {**_by_name_alone(headers, options, found), **found}
    found = {name: _with_asked_unit(column, options.units) for name, column in found.items()}
    if "n_params_active" in found and "n_params" in found and not found["n_params_active"].unit:
        # Two counts of one model are stated alike.
        own = found["n_params_active"]
        found["n_params_active"] = replace(own, unit=found["n_params"].unit)
    needed = {column.header for name, column in found.items() if name in NUMERIC}
    marks = decimal_marks(pd.DataFrame(series), cells.separator, options.decimal, needed, source)
    made = {name: as_plain(column, marks.get(name, ".")) for name, column in series.items()}
    for name in ALIASES:
        # A column of a field's name that is not the field must not be taken for it further on.
        if name in made and name not in found:
            made[f"{name} (as read)"] = made.pop(name)
    for name, column in found.items():
        raw = series[column.header]
        if name in NUMERIC:
            made[name] = _scaled(as_quantity(raw, marks.get(column.header, ".")), column)
        elif name == "status":
            made[name] = _states(raw)
        elif name != "run_id":
            made[name] = raw
    for name, theirs in options.columns.items():
        if theirs and name not in ALIASES:
            made[name] = as_plain(series[theirs], marks.get(theirs, "."))
    if "run_id" in found:
        made["run_id"] = series[found["run_id"].header]
    return Understood(
        pd.DataFrame(made),
        tuple(headers),
        found,
        (*_choices(found), *([wide.note] if wide is not None else [])),
    )


def few(headers: Sequence[str], most: int = 5) -> str:
    """The first of a table's columns, each cut to a readable length, and how many there are."""
    shown = ", ".join(str(h) if len(str(h)) <= 40 else f"{str(h)[:37]}..." for h in headers[:most])
    return shown + (f", ... ({len(headers)} columns)" if len(headers) > most else "")


def _check_given(headers: list[str], options: TableOptions, source: str) -> None:
    for name, theirs in options.columns.items():
        if theirs and theirs not in headers:
            near = difflib.get_close_matches(theirs, headers, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ";"
            raise TableError(
                f"{source} has no column {theirs!r}, asked for as {name}{hint} "
                f"it has: {few(headers)}"
            )
        near = difflib.get_close_matches(name, ALIASES, n=1, cutoff=0.8)
        if name not in ALIASES and near:
            raise TableError(f"table.columns: {name} is no field; did you mean {near[0]}?")
    for name in options.units:
        if name != "loss" and name not in COUNTS:
            raise TableError(
                f"table.units: {name} has no unit; expected one of {', '.join((*COUNTS, 'loss'))}"
            )


def _by_name_alone(
    headers: Sequence[str], options: TableOptions, found: Mapping[str, Column]
) -> dict[str, Column]:
    """Columns that have an alias of what is lacking but hold texts: those are then quoted."""
    lacking = [] if "loss" in found else ["loss"]
    if len({"n_params", "n_tokens", "flops"} & set(found)) < 2:
        lacking += [name for name in ("n_params", "n_tokens", "flops") if name not in found]
    named = find_columns(headers, options.columns, lambda f, h: True)
    return {name: named[name] for name in lacking if name in named}


def _fits(column: pd.Series, name: str) -> bool:
    """Whether a column with an alias of a field holds what the field does."""
    if name in NUMERIC:
        return share_of_numbers(column) > 0.5
    present = [cell for cell in column.tolist() if not is_missing(cell)]
    if name == "status":
        return any(str(cell).strip().lower() in STATES for cell in present)
    if name == "data":
        return share_of_numbers(column) < 0.5 and bool(present)
    return True


def _with_asked_unit(column: Column, units: Mapping[str, str]) -> Column:
    if column.field not in units:
        return column
    return replace(column, unit=str(units[column.field]))


def _scaled(values: pd.Series, column: Column) -> pd.Series:
    """The values in base units; texts that are no numbers stay."""
    if not column.unit:
        return values
    numbers = np.asarray(pd.to_numeric(values, errors="coerce"), dtype=float)
    scaled = in_base_units(column.field, numbers, column.unit)
    if values.dtype != object:
        return pd.Series(scaled, index=values.index)
    texts = [isinstance(value, str) for value in values.tolist()]
    kept = [v if t else s for v, t, s in zip(values.tolist(), texts, scaled.tolist(), strict=True)]
    return pd.Series(kept, index=values.index, dtype=object)


def _states(column: pd.Series) -> pd.Series:
    """Runs' states in one spelling; what is empty or unknown stays what it is."""
    texts = ["" if is_missing(cell) else str(cell).strip() for cell in column.tolist()]
    return pd.Series([STATES.get(t.lower(), t or "unknown") for t in texts], dtype=object)


def _choices(found: Mapping[str, Column]) -> tuple[str, ...]:
    """A line for each field that several columns could have been."""
    lines = []
    for name, column in found.items():
        if column.others and name in ALIASES:
            others = " and ".join(repr(other) for other in column.others)
            lines.append(
                f"{name} was taken from {column.header!r}; {others} could be it too "
                f"(table.columns={{{name}: {column.others[0]!r}}})"
            )
    return tuple(lines)
