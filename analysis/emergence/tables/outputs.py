"""Others' outputs, rows of prompt, target and output, as scores by every metric that they allow."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from analysis.data.reading.cells import is_missing
from analysis.emergence.tables.score_rows import ScoreTableError
from eval.metrics.outcome import Outcome
from eval.metrics.per_item import brier_mean, brier_sum, multiple_choice_grade
from eval.metrics.wilson import wilson

GROUPS = ("model", "family", "task", "n_shots", "seed", "split", "scale", "n_params", "n_tokens",
          "flops", "loss", "chance")  # fmt: skip
MOST_LENGTHS = 12
"""Lengths of targets that get a curve of their own; answers of more lengths are no such task."""

Row = Mapping[str, Any]


def exact_match(row: Row) -> float:
    """1 where output and target are equal but for blanks around them."""
    return float(str(row["output"]).strip() == str(row["target"]).strip())


def edit_distance(row: Row) -> float:
    """Levenshtein distance in characters, since a table of texts has no tokens."""
    return float(Levenshtein.distance(str(row["output"]).strip(), str(row["target"]).strip()))


def edit_distance_normalized(row: Row) -> float:
    """`edit_distance` over the target's number of characters."""
    return edit_distance(row) / max(1, len(str(row["target"]).strip()))


def confidence_brier(row: Row) -> float | None:
    """(exp(output_logprob) - exact match)^2."""
    value = row.get("output_logprob")
    if is_missing(value):
        return None
    return (math.exp(float(value)) - exact_match(row)) ** 2  # type: ignore[arg-type]


def _of_choices(metric: Callable[[Outcome], float | None]) -> Callable[[Row], float | None]:
    def measured(row: Row) -> float | None:
        choices, logprobs = _listed(row.get("choices")), _listed(row.get("choice_logprobs"))
        if not choices or logprobs is None:
            return None
        if len(choices) != len(logprobs):
            raise ScoreTableError(
                f"an item has {len(choices)} choices and {len(logprobs)} choice_logprobs; "
                f"expected as many ({choices!r:.80})"
            )
        right = tuple(float(str(c).strip() == str(row["target"]).strip()) for c in choices)
        if not any(right):
            raise ScoreTableError(
                f"target {row['target']!r:.60} is none of the choices {choices!r:.80}"
            )
        numbers = tuple(float(value) for value in logprobs)
        return metric(Outcome(prompt="", target=str(row["target"]), target_tokens=(),
                              choices=tuple(map(str, choices)), choice_scores=right,
                              choice_logprobs=numbers))  # fmt: skip

    return measured


METRICS: dict[str, Callable[[Row], float | None]] = {
    "exact_match": exact_match,
    "character_edit_distance": edit_distance,
    "character_edit_distance_normalized": edit_distance_normalized,
    "multiple_choice_grade": _of_choices(multiple_choice_grade),
    "brier_mean": _of_choices(brier_mean),
    "brier_sum": _of_choices(brier_sum),
    "confidence_brier": confidence_brier,
}


def scored(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """One row per model, task and metric from one row per item; and a line about it.

    Means over items, of all and by the target's length in characters; exact match and the
    multiple-choice grade with Wilson intervals. `choices` and `choice_logprobs` are lists, or JSON
    of them.

    Raises:  ScoreTableError: choices that do not fit their log-probabilities or target.
    """
    rows = frame.to_dict("records")
    keys = [name for name in GROUPS if name in frame]
    groups: dict[tuple[str, ...], list[dict[Any, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(_key(row[name]) for name in keys), []).append(row)
    made: list[dict[str, Any]] = []
    for items in groups.values():
        common = {name: items[0][name] for name in keys}
        made += _means(items, common)
        lengths = sorted({len(str(item["target"]).strip()) for item in items})
        if 1 < len(lengths) <= MOST_LENGTHS:
            for length in lengths:
                own = [item for item in items if len(str(item["target"]).strip()) == length]
                made += _means(own, common | {"target_length": float(length)})
    names = list(dict.fromkeys(row["metric"] for row in made))
    note = f"{len(rows)} outputs of {len(groups)} models and tasks were scored: {', '.join(names)}"
    return pd.DataFrame(made), note


def _means(items: Sequence[Row], common: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for metric, measure in METRICS.items():
        values = [value for item in items if (value := measure(item)) is not None]
        if not values:
            continue
        row = {**common, "metric": metric, "value": float(np.mean(values)), "n_items": len(values)}
        if metric in ("exact_match", "multiple_choice_grade"):
            low, high = wilson(sum(values), len(values))
            row |= {"ci_low": float(low), "ci_high": float(high)}
        if metric == "multiple_choice_grade" and "chance" not in common:
            row["chance"] = float(np.mean([1 / len(_listed(i["choices"]) or [1]) for i in items]))
        found.append(row)
    return found


def _key(cell: Any) -> str:
    return "" if is_missing(cell) else str(cell)


def _listed(cell: Any) -> list[Any] | None:
    if isinstance(cell, list | tuple | np.ndarray):
        return list(cell)
    if not isinstance(cell, str) or not cell.strip():
        return None
    try:
        content = json.loads(cell)
    except ValueError as error:
        raise ScoreTableError(
            f'choices {cell!r:.60} are no list; expected JSON, for example ["yes", "no"]'
        ) from error
    return content if isinstance(content, list) else None
