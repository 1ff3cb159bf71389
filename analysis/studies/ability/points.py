"""What is known of an ability: N, D, the loss of its answers and its accuracy, point by point."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.loss_table import LossTable, as_numbers
from analysis.data.table_error import TableError

LOSSES = ("bpb", "bits_per_byte", "nll", "loss")
ACCURACIES = ("accuracy", "acc", "exact_match")
"""Endings of column names, after a task's name and an underscore."""

OWN_LOSS, OWN_ACCURACY = "token_nll", "exact_match"
"""Metrics of this project's evaluations that make a pair where none are named."""


@dataclass(frozen=True, eq=False)
class AbilityPoints:
    """Points of one task, all arrays (points,).

    Attributes:
        task: Its name.
        loss_name: What the loss is, `accuracy_name` what the accuracy.
        cluster: Equal for points of one run, which resamples draw together.
        chance: What chance gives, NaN where that is not known.
    """

    task: str
    loss_name: str
    accuracy_name: str
    n_params: np.ndarray
    n_tokens: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    cluster: np.ndarray
    chance: float = float("nan")

    def __len__(self) -> int:
        return len(self.loss)

    def take(self, rows: np.ndarray) -> "AbilityPoints":
        columns = ("n_params", "n_tokens", "loss", "accuracy", "cluster")
        return AbilityPoints(
            **{**vars(self), **{name: getattr(self, name)[rows] for name in columns}}
        )


def ability_points(
    table: LossTable, evals: pd.DataFrame, loss: str | None = None, accuracy: str | None = None
) -> dict[str, AbilityPoints]:
    """Every task with a loss and an accuracy, by name: of evaluations, else of pairs of columns.

    Args:
        table: The runs.
        evals: Evaluations of checkpoints (evals.parquet), empty for none.
        loss: A metric, or the ending of columns, that is the loss; None for the usual ones.
        accuracy: The same of the accuracy.
    """
    if len(evals):
        return _of_evals(evals, loss or OWN_LOSS, accuracy or OWN_ACCURACY)
    return _of_columns(table, (loss,) if loss else LOSSES, (accuracy,) if accuracy else ACCURACIES)


def chosen(found: dict[str, AbilityPoints], tasks: list[str]) -> dict[str, AbilityPoints]:
    """The tasks that were asked for; all of them for [all].

    Raises:
        TableError: One that is not there, or none at all.
    """
    if not found:
        raise TableError(
            "no ability to predict: expected evaluations with token_nll and exact_match, or "
            "columns TASK_bpb and TASK_accuracy; name others with ability.loss= and "
            "ability.accuracy="
        )
    unknown = [task for task in tasks if task not in (*found, "all")]
    if unknown:
        raise TableError(f"ability.tasks has {unknown[0]}; there are {', '.join(found)}")
    return found if "all" in tasks else {task: found[task] for task in tasks}


def _of_columns(
    table: LossTable, losses: tuple[str, ...], accuracies: tuple[str, ...]
) -> dict[str, AbilityPoints]:
    names = [str(column) for column in table.runs.columns]
    found = {}
    for column in names:
        ending = next((e for e in accuracies if column.endswith(f"_{e}")), None)
        task = column.removesuffix(f"_{ending}") if ending else ""
        own = next((f"{task}_{e}" for e in losses if f"{task}_{e}" in names), None)
        if not task or own is None or task in found:
            continue
        x, y = table.numbers(own), table.numbers(column)
        known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        n, d = (table.numbers(name) for name in ("n_params", "n_tokens"))
        found[task] = AbilityPoints(
            task, own, column, n[known], d[known], x[known], y[known], known
        )
    return found


def _of_evals(evals: pd.DataFrame, loss: str, accuracy: str) -> dict[str, AbilityPoints]:
    """One point per checkpoint of every task; means over answer lengths and positions alone."""
    keep = np.ones(len(evals), dtype=bool)
    for name in ("target_length", "position", "n_first"):
        keep &= ~np.isfinite(as_numbers(evals, name))
    whole, found = evals.loc[keep], {}
    ways = [c for c in ("operands", "format", "n_shots", "split") if c in whole]
    for label, rows in _abilities(whole, ways):
        keys = [c for c in ("run_id", "step") if c in rows]
        kept = ["value", *(["chance"] if "chance" in rows else [])]
        pair = [_metric(rows, name, keys) for name in (loss, accuracy)]
        joined = (
            pair[0][["n_params", "n_tokens", "value"]]
            .rename(columns={"value": "value_loss"})
            .join(pair[1][kept], how="inner")
        )
        joined = joined.dropna(subset=["value"])
        joined = joined[np.isfinite(joined["value_loss"]) & (joined["value_loss"] > 0)]
        if not len(joined):
            continue
        chance = as_numbers(joined, "chance")
        found[label] = AbilityPoints(
            label,
            loss,
            accuracy,
            as_numbers(joined, "n_params"),
            as_numbers(joined, "n_tokens"),
            as_numbers(joined, "value_loss"),
            as_numbers(joined, "value"),
            pd.factorize(joined.index.get_level_values("run_id"))[0],
            float(np.nanmean(chance)) if np.isfinite(chance).any() else float("nan"),
        )
    return found


def _abilities(evals: pd.DataFrame, ways: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """Rows of each way of asking a task, named by the task and by what tells its ways apart."""
    found = []
    for task, rows in evals.groupby("task"):
        texts = {way: rows[way].astype(str) for way in ways}
        apart = [text for text in texts.values() if len(set(text)) > 1]
        label = pd.Series(str(task), index=rows.index)
        for text in apart:
            label = label + text.map(lambda value: f", {value}" if value else "")
        found += [(str(name), own) for name, own in rows.groupby(label)]
    return found


def _metric(rows: pd.DataFrame, name: str, keys: list[str]) -> Any:
    own: Any = rows.loc[rows["metric"] == name]
    own = own.drop_duplicates(keys).set_index(keys)
    return own
