"""Fitting another column than the loss in nats per token, such as bits per byte."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.data.loss_table import CURVE_COLUMNS, LossTable, as_numbers
from analysis.data.table_error import TableError


def with_loss(table: LossTable, column: str) -> LossTable:
    """The table with a column of its runs in the place of their loss.

    Runs without a positive finite value there are excluded. Training curves are scaled run by run
    by what the column makes of the final loss: bits per byte are nats per token times a constant of
    tokenizer and text.

    Raises:  TableError: no such column, or no run with a value in it.
    """
    if column == "loss":
        return table
    if column not in table.runs:
        raise TableError(
            f"fit.loss={column} is no column of the runs; it has: "
            f"{', '.join(map(str, table.runs.columns))}"
        )
    values = table.numbers(column)
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.all():
        raise TableError(f"fit.loss={column}: no run has a positive finite value there")
    table = table.without(bad, f"no positive finite {column} (fit.loss)")
    values = table.numbers(column)
    scale = dict(zip(table.texts("run_id"), values / table.numbers("loss"), strict=True))
    curves = _scaled(table.curves.loc[:, list(CURVE_COLUMNS)], scale)
    training = _scaled(table.training, scale) if len(table.training) else table.training
    runs = table.runs.assign(loss=values)
    return replace(table, runs=runs, curves=curves, training=training).warned(
        f"Every law is of {column} (fit.loss), not of the loss in nats per token"
    )


def _scaled(points: pd.DataFrame, scale: Mapping[str, float]) -> pd.DataFrame:
    """Points with their losses times their run's factor, without those of runs that have none."""
    loss = as_numbers(points, "loss") * [scale.get(str(run), np.nan) for run in points["run_id"]]
    return points.assign(loss=loss).iloc[np.flatnonzero(np.isfinite(loss))]
