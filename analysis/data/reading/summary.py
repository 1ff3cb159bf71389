"""One line on what was read from which column, so that a wrong guess is seen at once."""

from typing import Protocol

import numpy as np

from analysis.data.reading.understand import Understood
from analysis.format import count_label, number


class Runs(Protocol):
    """The part of a table of runs that is described."""

    def __len__(self) -> int: ...

    def numbers(self, name: str) -> np.ndarray:
        """A column as floats, (runs,)."""
        ...


DERIVED = {
    "n_params": "n_params = flops / (6 n_tokens)",
    "n_tokens": "n_tokens = flops / (6 n_params)",
    "flops": "flops = 6 n_params n_tokens",
}


def what_was_read(table: Runs, read: Understood, n_rows: int) -> str:
    """Such as "read 240 runs from 245 rows: n_params from 'Model Size' (57M to 16B), ..."."""
    parts = []
    for name in ("n_params", "n_tokens", "flops", "loss", "flops_budget"):
        column = read.columns.get(name)
        if column is not None:
            unit = f" in {column.unit}" if column.unit else ""
            parts.append(f"{name} from {column.header!r}{unit} ({_range(table, name)})")
        elif name == "flops" and len({"n_params", "n_tokens"} & set(read.columns)) < 2:
            parts.append("flops = flops_budget")
        elif name in DERIVED:
            rule = DERIVED[name]
            if "n_params_active" in read.columns and name != "n_params":
                rule = rule.replace("n_params", "n_params_active")
            parts.append(f"{rule} ({_range(table, name)})")
    for name in ("n_params_active", "status", "data", "epochs", "unique_tokens"):
        if name in read.columns and read.columns[name].header != name:
            parts.append(f"{name} from {read.columns[name].header!r}")
    rows = f" from {n_rows} rows" if n_rows != len(table) else ""
    return f"read {len(table)} runs{rows}: {', '.join(parts)}"


def _range(table: Runs, name: str) -> str:
    values = table.numbers(name)
    values = values[np.isfinite(values)]
    if not len(values):
        return "no number"
    form = count_label if name in ("n_params", "n_tokens") else number
    low, high = form(float(values.min())), form(float(values.max()))
    return low if low == high else f"{low} to {high}"
