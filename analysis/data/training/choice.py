"""Which losses of a table's curves the envelope reads: smoothed training losses or validation."""

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.data.loss_table import LossTable, as_numbers
from analysis.data.run_arrays import CurveLosses
from analysis.data.training.smoothed import FEWEST_POINTS, SMALL_ERROR
from analysis.errors import FitError

CHOICES = ("auto", "training", "validation")

ONE_EPOCH = 1.01
"""Passes over the data up to which every token counts as new."""


def with_curves(table: LossTable, asked: str) -> tuple[LossTable, CurveLosses]:
    """The table with the curves that approach 1 reads, and what they are of.

    Smoothed training losses, where every run has them, none saw a token twice (a loss on text that
    was seen before is too low) and noise is small: the least of many noisy losses is too low, too.
    All runs' curves are of one kind, since the two differ.

    Args:
        table: The runs that are fitted.
        asked: One of CHOICES: `auto` as above, `training` also where data was repeated or noise is
            large.

    Raises:
        FitError: Training losses were asked for and are not there.
    """
    reason = _against(table, asked)
    if reason and asked == "training":
        raise FitError(f"fit.curve_loss=training, but {reason}; leave it at auto")
    if reason:
        kind = "validation" if len(table.training) else "table"
        return table, CurveLosses(kind, reason)
    ends = table.training.groupby("run_id", sort=False).last()["loss"]
    found = ends.reindex(pd.Index(table.texts("run_id"))).to_numpy(dtype=float)
    level = float(np.nanmedian(table.numbers("loss") / found))
    points = table.training.assign(loss=as_numbers(table.training, "loss") * level)
    error, window = (float(np.median(as_numbers(points, name))) for name in ("error", "window"))
    epochs = float(table.epochs().max(initial=0.0))
    seen = "no run saw a token twice" if epochs <= ONE_EPOCH else f"up to {epochs:.3g} epochs"
    return replace(table, curves=points), CurveLosses("training", seen, level, error, window)


def _against(table: LossTable, asked: str) -> str:
    """Why training losses are not read; empty if they are."""
    if asked == "validation":
        return "fit.curve_loss=validation"
    if not len(table.training):
        return "the curves have no training losses with learning rates"
    known = set(table.training["run_id"].unique().tolist())
    lacking = sum(name not in known for name in table.texts("run_id"))
    if lacking:
        return (
            f"{lacking} of {len(table)} runs logged fewer than {FEWEST_POINTS} training losses "
            f"behind their warm-up"
        )
    epochs = float(table.epochs().max(initial=0.0))
    if asked == "auto" and epochs > ONE_EPOCH:
        return f"runs saw their tokens up to {epochs:.3g} times"
    error = float(np.median(as_numbers(table.training, "error")))
    if asked == "auto" and error > SMALL_ERROR:
        return (
            f"batches are noisy: smoothed training losses would be known to {100 * error:.2g} %, "
            f"more than {100 * SMALL_ERROR:g} %"
        )
    return ""
