"""Which rows of a table are runs, and which are points along the training of one.

A column that merely names sizes ("57M") must not join unrelated runs, so rows are joined by an
identity (run_id), by a step column, or by a name whose rows are evenly spaced checkpoints.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

FEWEST_POINTS = 5
"""Points per run below which rows with a step are taken as runs of unlike lengths."""

FEWEST_EVEN = 10
"""Evenly spaced token counts that no set of separate runs of one size would have."""


NAMES = ("run", "name", "run_name", "exp_name", "experiment_name", "id")
"""Columns that may name a row without being its run's identity, in lower case."""


def naming_column(headers: Sequence[str], frame: pd.DataFrame) -> str | None:
    """The column that names rows: of `NAMES` one without repeats if there is, else the first."""
    known = {header.strip().lower().replace(" ", "_"): header for header in headers}
    named = [known[name] for name in NAMES if name in known]
    unique = [header for header in named if not frame[header].astype(str).duplicated().any()]
    return next(iter(unique or named), None)


@dataclass(frozen=True)
class Joined:
    """The run of each row, (rows,) of text; `curves` if rows share runs; what to say of it."""

    run: np.ndarray
    curves: bool
    note: str = ""


def join_rows(frame: pd.DataFrame, name: str | None, has_run_id: bool) -> Joined:
    """The run that each row belongs to.

    Args:
        frame: A table with n_params and n_tokens as floats.
        name: The column that names rows, None for none.
        has_run_id: Whether that column is the runs' identity.
    """
    n_rows = len(frame)
    labels = None if name is None else np.array([str(v) for v in frame[name].tolist()], object)
    numbered = np.array([f"row {i + 1}" for i in range(n_rows)], dtype=object)
    if has_run_id and labels is not None:
        return Joined(labels, len(set(labels)) < n_rows)
    if labels is not None and len(set(labels)) == n_rows:
        return Joined(labels, False)
    place = next((c for c in ("progress", "step") if c in frame), None)
    if place is not None:
        key = _key(frame, name)
        points = pd.DataFrame({"key": key, "at": frame[place]})
        per_run = n_rows / max(1, len(set(key)))
        if per_run >= FEWEST_POINTS and not points.duplicated().any():
            return Joined(key, True, f"rows with one {_named(name)} are joined by {place}")
    if labels is not None and _evenly_spaced(labels, frame["n_tokens"].to_numpy(float)):
        return Joined(labels, True, f"rows of one {name!r} are evenly spaced along training")
    if labels is None:
        return Joined(numbered, False)
    recurring = pd.Series(labels).duplicated(keep=False).to_numpy()
    run = np.where(recurring, [f"{t} ({r})" for t, r in zip(labels, numbered, strict=True)], labels)
    note = (
        f"{name!r} names {int(recurring.sum())} of {n_rows} rows more than once; each row is a run "
        f"of its own (table.columns={{run_id: {name!r}}} joins them as training curves)"
    )
    return Joined(run.astype(object), False, note)


def unfinished(frame: pd.DataFrame) -> np.ndarray:
    """Rows short of their schedule's end, (rows,) of bool, by a column `progress`."""
    if "progress" not in frame:
        return np.zeros(len(frame), dtype=bool)
    portion = np.asarray(pd.to_numeric(frame["progress"], errors="coerce"), dtype=float)
    most = np.nanmax(portion, initial=0.0)
    end = 1.0 if most <= 1.01 else 100.0 if most <= 101 else most
    return portion < 0.99 * end


def _key(frame: pd.DataFrame, name: str | None) -> np.ndarray:
    """What tells runs apart where nothing names them: sizes, seeds and texts of each row.

    The learning rate is not among it, since it falls along one run.
    """
    texts = [str(c) for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]
    parts = ["n_params", "seed", "bs", "batch_size", "flops_budget", *texts]
    columns = dict.fromkeys(c for c in ([name] if name else []) + parts if c in frame)
    cells = {c: frame[c].astype(str).to_numpy(dtype=object) for c in columns}
    varied = [c for c, values in cells.items() if 1 < len(set(values)) < len(frame)]
    if not varied:
        return np.full(len(frame), "run", dtype=object)
    rows = zip(*(cells[c] for c in varied), strict=True)
    return np.array([" ".join(row) for row in rows], dtype=object)


def _named(name: str | None) -> str:
    return "size and setting" if name is None else repr(name)


def _evenly_spaced(labels: np.ndarray, n_tokens: np.ndarray) -> bool:
    """Whether most rows belong to names with ten or more token counts at one distance."""
    even = 0
    for label in set(labels):
        at = np.sort(n_tokens[labels == label])
        gaps = np.diff(at)
        if len(at) >= FEWEST_EVEN and gaps.min() > 0 and np.ptp(gaps) < 0.02 * np.median(gaps):
            even += len(at)
    return even > len(labels) / 2
