"""Others' tables of scores as rows of evaluations."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from analysis.data.reading.columns import as_quantity, decimal_marks
from analysis.data.reading.formats import read_cells
from analysis.emergence.abilities import HELDOUT, EmergenceError
from analysis.emergence.rows import NUMERIC as _NUMERIC
from analysis.emergence.rows import number_of as _number
from eval.evals_table import upgraded_frame

_FOREIGN = ("model", "scale", "task", "metric", "value")
_OPTIONAL = ("n_tokens", "flops", "loss", "ci_low", "ci_high", "n_items", "seed")


def read_scores(path: Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Foreign scores as evals rows, from a table file; see `scores_from_frame`.

    Raises:  TableError: missing or unreadable file. EmergenceError: missing columns, no usable row.
    """
    cells = read_cells(path)
    theirs = score_columns(list(cells.frame), columns or {})
    needed = [theirs[name] for name in (*_NUMERIC, "scale") if name in theirs]
    marks = decimal_marks(cells.frame, cells.separator, None, needed, str(path))
    series = {str(name): column for name, column in cells.frame.items()}
    read = {name: as_quantity(series[name], marks.get(name, ".")) for name in needed}
    return scores_from_frame(cells.frame.assign(**read), str(path), columns)


def scores_from_frame(
    frame: pd.DataFrame, source: str, columns: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Evals rows from a frame with columns model, scale, task, metric, value.

    `columns` maps those names to the frame's. `scale` becomes n_params; n_tokens, flops, loss,
    ci_low, ci_high, n_items and seed are used where given. Rows without a positive scale and a
    numeric value are left out and counted in `attrs["n_unusable"]`.
    """
    named = score_columns(list(frame), columns or {})
    frame = frame.rename(columns={theirs: ours for ours, theirs in named.items()})
    missing = [name for name in _FOREIGN if name not in frame]
    if missing:
        raise EmergenceError(
            f"{source} has no column {', '.join(missing)}; it has {', '.join(map(str, frame))}; "
            f"map them, for example table.columns={{{missing[0]}: 'Their name'}}"
        )
    records = [
        {
            "run_id": str(row["model"]),
            "step": math.nan,
            "n_params": _number(row["scale"]),
            "task": str(row["task"]),
            "format": "",
            "n_shots": 0,
            "split": HELDOUT,
            "target_length": math.nan,
            "metric": str(row["metric"]),
            "value": _number(row["value"]),
            **{name: _number(row.get(name)) for name in _OPTIONAL},
        }
        for row in frame.to_dict("records")
    ]
    usable = [r for r in records if r["n_params"] > 0 and math.isfinite(r["value"])]
    if not usable:
        raise EmergenceError(f"{source} has no row with a positive scale and a numeric value")
    rows = upgraded_frame(pd.DataFrame(usable))
    rows.attrs["n_unusable"] = len(records) - len(usable)
    return rows


def score_columns(headers: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The table's column of each name that a table of scores has: as given, else in any case."""
    free = [str(header) for header in headers if header not in given.values()]
    known = {header.strip().lower().replace(" ", "_"): header for header in free}
    names = [name for name in (*_FOREIGN, *_OPTIONAL) if name not in given]
    exact = {name: known[name] for name in names if name in known}
    return {**exact, **{n: n for n in names if n in free}, **given}


def looks_like_scores(headers: Sequence[str], given: Mapping[str, str]) -> bool:
    """True for a table of metric values over models rather than of training losses."""
    named = score_columns(headers, given)
    return all(named.get(name) in headers for name in ("task", "metric", "value"))
