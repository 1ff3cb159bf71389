"""Cells of a table of scores to typed rows: numbers, filters, duplicates, families, the axis."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.reading.cells import is_missing
from analysis.data.reading.columns import as_quantity, decimal_marks
from analysis.data.reading.units import in_base_units
from analysis.emergence.metric_names import AXES
from analysis.emergence.score import MIN_POINTS
from analysis.emergence.tables.columns import SIZES, quantity_of
from analysis.emergence.tables.score_rows import (
    NUMBERS,
    TEXTS,
    Axis,
    ScoreRows,
    ScoreTableError,
)

_Z_95 = 1.959964
_OTHERS = ("prompt", "target", "output", "choices", "choice_logprobs")


def typed_columns(
    frame: pd.DataFrame,
    named: Mapping[str, str],
    units: Mapping[str, str],
    separator: str,
    decimal: str | None,
    source: str,
) -> pd.DataFrame:
    """The known columns under their own names: texts, and numbers in base units.

    Args:    named: the frame's header of each name; units: factors of sizes, by name.
    """
    numeric = {n: h for n, h in named.items() if n in (*NUMBERS, "stderr", "output_logprob")}
    marks = decimal_marks(frame, separator, decimal, list(numeric.values()), source)
    made: dict[str, Any] = {}
    for name, header in named.items():
        column: Any = frame[header]
        if name in numeric:
            values = as_quantity(column, marks.get(header, "."))
            numbers = np.asarray(pd.to_numeric(values, errors="coerce"), dtype=float)
            field = quantity_of(header) or "flops" if name == "scale" else name
            made[name] = in_base_units(field, numbers, str(units.get(name, "")))
        elif name in TEXTS:
            made[name] = ["" if is_missing(cell) else str(cell) for cell in column.tolist()]
        elif name in _OTHERS:
            made[name] = column.tolist()
    typed = pd.DataFrame(made, index=frame.index)
    if "stderr" in typed and "ci_low" not in typed and "value" in typed:
        half = _Z_95 * typed.pop("stderr")
        typed = typed.assign(ci_low=typed["value"] - half, ci_high=typed["value"] + half)
    return typed.drop(columns="stderr", errors="ignore")


def passing(
    typed: pd.DataFrame, frame: pd.DataFrame, filters: Mapping[str, Any], source: str
) -> pd.Series:
    """Which rows have one of the values asked for in every filter, by our name or the table's.

    Raises:  ScoreTableError: a column that is not there, or no row passes.
    """
    kept = pd.Series(True, index=typed.index)
    for name, wanted in filters.items():
        column = typed[name] if name in typed else frame.get(name)
        if column is None:
            raise ScoreTableError(
                f"table.filters: {source} has no column {name!r}; it has "
                f"{', '.join(map(str, [*typed, *frame]))[:300]}"
            )
        accepted = wanted if isinstance(wanted, list | tuple) else [wanted]
        passes = [any(_equal(cell, one) for one in accepted) for cell in column.tolist()]
        kept &= pd.Series(passes, index=kept.index)
        if not kept.any():
            raise ScoreTableError(
                f"table.filters: no row of {source} has {name}={wanted}; it has "
                f"{', '.join(sorted({_shown(cell) for cell in column.tolist()}))[:200]}"
            )
    return kept


def finished_rows(
    typed: pd.DataFrame,
    others: pd.DataFrame,
    named: Mapping[str, str],
    source: str,
    notes: Sequence[str],
    excluded: Mapping[str, int],
    find_families: bool = True,
) -> ScoreRows:
    """Usable rows with every column, each once, and the axis that they are drawn over.

    `find_families` reads families off the models' names where no column has them.
    Raises:  ScoreTableError: no row with a positive scale and a finite value.
    """
    lines = list(notes)
    rows: Any = typed.assign(
        **{name: "" for name in TEXTS if name not in typed},
        **{name: np.nan for name in NUMBERS if name not in typed},
    )[[*TEXTS, *NUMBERS]]
    if find_families and "family" not in named and not rows["family"].any():
        rows, note = _with_families(rows)
        lines += [note] if note else []
    axis = _axis(rows, named)
    x, value = rows[axis.column].to_numpy(), rows["value"].to_numpy()
    usable = np.isfinite(value) & np.isfinite(x) & (x > 0)
    reasons = dict(excluded) | {
        f"no positive {axis.label}": int((~(np.isfinite(x) & (x > 0))).sum()),
        "no numeric value": int((np.isfinite(x) & (x > 0) & ~np.isfinite(value)).sum()),
    }
    if not usable.any():
        raise ScoreTableError(
            f"{source} has no row with a positive scale and a numeric value; of {len(rows)} rows "
            + ", ".join(f"{n} have {reason}" for reason, n in reasons.items() if n)
        )
    rows, others = rows.loc[usable], others.loc[usable]
    again = rows.duplicated() & _all_equal(others, rows)
    reasons["the same row again"] = int(again.sum())
    lines.append(f"axis: {axis.label}, from {named.get(axis.column, axis.column)!r}")
    return ScoreRows(
        rows.loc[~again].reset_index(drop=True),
        axis,
        source,
        others.loc[~again].reset_index(drop=True),
        tuple(lines),
        {reason: n for reason, n in reasons.items() if n},
    )


def _all_equal(others: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    """Rows whose columns without a meaning also repeat those of an equal row before."""
    if not others.shape[1]:
        return pd.Series(True, index=rows.index)
    return pd.concat([rows, others.astype(str)], axis=1).duplicated()


def _axis(rows: Any, named: Mapping[str, str]) -> Axis:
    """`scale` where it is given; else N, or C where one family trained a size to several lengths.

    C is known of fewer models than N, and within one family a size mostly has one length.
    """
    if rows["scale"].notna().any():
        header = named.get("scale", "scale")
        quantity = quantity_of(header)
        return Axis("scale", AXES[quantity] if quantity else header)
    known = [name for name in SIZES if rows[name].notna().any()]
    if "n_params" in known and "flops" in known:
        lengths = rows.dropna(subset="flops").groupby(["family", "n_params"])["flops"].nunique()
        if np.max(lengths.to_numpy(), initial=0) > 1:
            return Axis("flops", AXES["flops"])
    column = next((name for name in ("n_params", "flops", "n_tokens", "loss") if name in known), "")
    if not column:
        raise ScoreTableError(
            "no column says how large the models are; expected one of parameters, FLOPs, tokens, "
            "loss or scale: 'table.columns={scale: Their name}', or table.models=FILE with a table "
            "of the models"
        )
    return Axis(column, AXES[column])


def _with_families(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Families read off the models' names, where most models then have a family of some sizes."""
    names = {model: family_of(model) for model in rows["model"].unique()}
    sizes: Any = pd.Series(list(names.values())).value_counts()
    large = sizes[sizes >= MIN_POINTS]
    if len(sizes) < 2:
        return rows, ""
    if len(large) < 2 or large.sum() < len(names) / 2:
        return rows, (
            f"no column says which family a model is of, nor do their names: all {len(names)} were "
            f"taken as one; name a column of families: 'table.columns={{family: THEIR_NAME}}'"
        )
    shown = ", ".join(f"{name} ({n})" for name, n in large.items())
    note = (
        f"families were read off the names of the models: {shown}; name a column instead, or one "
        f"curve for all with 'table.columns={{family: \"\"}}'"
    )
    return rows.assign(family=[names[model] for model in rows["model"]]), note


def family_of(model: str) -> str:
    """A model's name without its size: "LaMDA 137B" and "lamda-2b" are both lamda."""
    name = re.sub(r"(?i)(?<![a-z0-9.])\d+(\.\d+)?\s?[kmbt](?![a-z0-9])", "", model)
    return re.sub(r"[\s_/.-]+", "-", name).strip("-").lower()


def _shown(cell: Any) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def _equal(cell: Any, wanted: Any) -> bool:
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        try:
            return float(cell) == float(wanted)
        except (TypeError, ValueError):
            return False
    return str(cell) == str(wanted)
