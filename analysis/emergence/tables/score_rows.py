"""What a table of scores is once it was read: typed rows, what was left out of it and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from train.config.spec import IsoflopError


class ScoreTableError(IsoflopError):
    """A table of scores that can't be read."""


TEXTS = ("model", "family", "task", "metric", "split")
NUMBERS = (
    "value", "ci_low", "ci_high", "chance", "n_items", "n_shots", "target_length", "seed",
    "n_params", "n_tokens", "flops", "loss", "scale",
)  # fmt: skip
CURVE = ("task", "metric", "family", "n_shots", "target_length", "split")
"""Columns that tell curves apart; what differs in one of them is never averaged."""


@dataclass(frozen=True)
class Axis:
    """What curves are drawn over: a column of the rows, and what it is called in figures."""

    column: str
    label: str


@dataclass(frozen=True)
class ScoreRows:
    """One row per score: `TEXTS` ("" where unknown) and `NUMBERS` (NaN where unknown).

    `unnamed` holds columns without a meaning here, for the message where they tell rows apart.
    `notes` say how the table was understood, `excluded` how many rows were left out, by reason.
    """

    rows: pd.DataFrame
    axis: Axis
    source: str
    unnamed: pd.DataFrame
    notes: tuple[str, ...] = ()
    excluded: Mapping[str, int] = field(default_factory=dict)
