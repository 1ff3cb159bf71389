"""One study for each value of a column of the runs: corpora, optimisers, architectures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.data.loss_table import LossTable
from analysis.data.table_error import TableError
from analysis.errors import FitError
from analysis.studies.study import Study

MOST_VALUES = 20
"""Values beyond which a column names runs rather than kinds of them."""


@dataclass(frozen=True)
class ByColumn:
    """The studies by value of a column, those of most runs first, and why a value has none."""

    column: str
    studies: dict[str, Study]
    missing: dict[str, str]


def split(table: LossTable, column: str) -> dict[str, LossTable]:
    """The runs of each value of a column, those of most runs first.

    Raises:
        TableError: No such column, or not 2 to 20 values in it.
    """
    if column not in table.runs:
        raise TableError(
            f"fit.by={column} is no column of the runs; they have: "
            f"{', '.join(map(str, table.runs.columns))}"
        )
    texts = table.texts(column, "(none)")
    values, counts = np.unique(texts.astype(str), return_counts=True)
    if not 2 <= len(values) <= MOST_VALUES:
        raise TableError(
            f"fit.by={column}: the column has {len(values)} value(s); expected 2 to {MOST_VALUES}"
        )
    ordered = [str(values[i]) for i in np.argsort(-counts, kind="stable")]
    reasons = [f"{column} is {text}, fitted apart (fit.by)" for text in texts]
    return {value: table.without(texts != value, reasons) for value in ordered}


def study_by(table: LossTable, column: str, study: Callable[[LossTable], Study]) -> ByColumn:
    """The study of each value's runs, or the reason why there is none.

    Raises:
        FitError: No value's runs could be studied.
    """
    studies, missing = {}, {}
    for value, part in split(table, column).items():
        try:
            studies[value] = study(part)
        except (TableError, FitError) as error:
            missing[value] = str(error)
    if not studies:
        reasons = "; ".join(f"{value}: {reason}" for value, reason in missing.items())
        raise FitError(f"fit.by={column}: no value's runs could be fitted ({reasons})")
    return ByColumn(column, studies, missing)
