"""Wide tables, one column per size or per budget, as one row per run."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.reading.cells import is_missing, read_number
from analysis.data.reading.names import Column

FEWEST_COLUMNS = 2
_PREFIXES = {
    "n": "n_params", "params": "n_params", "size": "n_params", "model": "n_params",
    "d": "n_tokens", "tokens": "n_tokens", "c": "flops", "flops": "flops", "budget": "flops",
    "compute": "flops",
}  # fmt: skip


@dataclass(frozen=True)
class Long:
    """A wide table made long: its frame with the field `header_field`, and what was done."""

    frame: pd.DataFrame
    header_field: str
    note: str


def lengthened(frame: pd.DataFrame, found: dict[str, Column]) -> Long | None:
    """The table with one row per cell of loss; None where it is not wide.

    It is wide if no column is the loss, one of N, D and C has a column, and two headers or more are
    magnitudes ("57M", "loss 1e18", "C=3e20").
    """
    rows = [name for name in ("n_params", "n_tokens", "flops", "flops_budget") if name in found]
    if "loss" in found or len(rows) != 1:
        return None
    values = {str(name): value for name in frame if (value := magnitude(str(name))) is not None}
    values.pop(found[rows[0]].header, None)
    if len(values) < FEWEST_COLUMNS:
        return None
    field = _field_of(list(values), np.array(list(values.values())), rows[0])
    kept = [name for name in frame if str(name) not in values]
    long = frame.melt(id_vars=kept, value_vars=list(values), var_name=field, value_name="loss")
    header = long[field].astype(str)
    long[field] = [values[name] for name in header]
    empty = np.array([is_missing(cell) for cell in long["loss"].tolist()])
    note = (
        f"{len(values)} columns, {next(iter(values))!r} to {list(values)[-1]!r}, were read as "
        f"{field} with losses below; {int(empty.sum())} of their {len(long)} cells are empty"
    )
    return Long(long.loc[~empty].reset_index(drop=True), field, note)


def magnitude(header: str) -> float | None:
    """The number of a header such as "57M" or "loss (C=1e18)"; None for other headers."""
    text = re.sub(r"(?i)^(val(idation)?[_ ]|final[_ ])?loss\b[\s_:(@]*", "", header).strip(" )")
    text = re.sub(r"^[A-Za-z_]+\s*=\s*", "", text)
    value = read_number(text)
    return value if value is not None and np.isfinite(value) and value >= 1e3 else None


def _field_of(headers: list[str], values: np.ndarray, row_field: str) -> str:
    for header in headers:
        prefix = re.search(r"([A-Za-z_]+)\s*=", header)
        if prefix and prefix[1].lower() in _PREFIXES:
            return _PREFIXES[prefix[1].lower()]
    # No model has 1e14 parameters and hardly a run 1e15 tokens; budgets begin about there.
    if np.median(values) >= 1e15 and row_field not in ("flops", "flops_budget"):
        return "flops"
    return "n_tokens" if row_field == "n_params" else "n_params"
