"""Rows that no fit can use, each turned into an exclusion with its reason."""

from dataclasses import replace

import numpy as np

from analysis.data.loss_table import NUMBERS, LossTable
from analysis.data.table_error import TableError


def clean(table: LossTable) -> LossTable:
    """Exclude rows that no law can use: numbers not positive and finite, runs that occur twice.

    Raises:  TableError: nothing remains (the message says what the first reason was), or trained
             runs among simulated ones.
    """
    table = _of_one_origin(table)
    for name in NUMBERS:
        values = table.numbers(name)
        bad = ~(np.isfinite(values) & (values > 0))
        shown = table.runs[name].tolist()
        table = table.without(
            bad, [f"{name}={value} is not positive and finite" for value in shown]
        )
        table = replace(table, runs=table.runs.assign(**{name: table.numbers(name)}))
    again = np.asarray(table.runs["run_id"].duplicated())
    table = table.without(again, "a run with this name came before")
    twins = np.asarray(table.runs[["n_params", "n_tokens", "loss"]].duplicated())
    table = table.without(twins, "N, D and loss equal those of an earlier run to every digit")
    if len(table) == 0:
        first = table.excluded[0].reason if table.excluded else "the table is empty"
        raise TableError(
            f"{', '.join(table.sources)} has no usable run: {len(table.excluded)} excluded, "
            f"first reason: {first}"
        )
    return table


def _of_one_origin(table: LossTable) -> LossTable:
    """The table, with a warning where its losses are simulated; runs of two origins don't mix."""
    origins = sorted(set(table.texts("simulated")))
    if len(origins) > 1:
        named = "; ".join(f"simulated on {name}" if name else "trained" for name in origins)
        raise TableError(
            f"{', '.join(table.sources)} mix runs of {len(origins)} origins ({named}), which no "
            f"fit may join; analyse them apart"
        )
    if origins and origins[0]:
        return table.warned(
            f"Nothing was trained here: the losses of all {len(table)} runs are simulated "
            f"({origins[0]})"
        )
    return table


def only_finished(table: LossTable) -> LossTable:
    """Exclude runs whose status is not finished, with their status and message."""
    status, message = table.texts("status"), table.texts("message")
    reasons = [
        f"status {s}" + (f": {m}" if m else "") for s, m in zip(status, message, strict=True)
    ]
    return table.without(status != "finished", reasons)
