"""Wide tables of scores, one column per task and metric, as one row per score."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.data.reading.cells import is_missing
from analysis.data.reading.columns import share_of_numbers
from analysis.data.reading.wide import magnitude

METRICS = (
    "exact_str_match", "exact_match", "quasi_exact_match", "acc_norm", "acc_stderr", "acc",
    "accuracy", "normalized_accuracy", "multiple_choice_grade", "bleu", "bleurt", "rouge",
    "rougel", "rouge1", "rouge2", "chrf", "f1", "em", "brier", "brier_score", "edit_distance",
    "token_edit_distance", "ppl", "perplexity", "bpb", "bits_per_byte", "log_likelihood", "nll",
    "pass@1", "mc1", "mc2", "score",
)  # fmt: skip
"""Last words of a header that name a metric; a header without one is a task whose metric is not
named, called `score`."""

UNNAMED = "score"
_SHOTS = re.compile(r"(?P<task>.+?)[_ .:-](?P<shots>\d{1,2})(?:[_ -]?shots?)?")


@dataclass(frozen=True)
class WideColumn:
    """What one header of a wide table says: its task, metric and, where stated, shots."""

    task: str
    metric: str
    n_shots: int | None


def parsed(header: str) -> WideColumn:
    """TASK_2_METRIC, TASK_METRIC, TASK METRIC (2-shot) or TASK as its parts."""
    text = header.strip()
    stated = re.search(r"[(\[]?\b(\d{1,2})[- ]?shots?\b[)\]]?", text, re.IGNORECASE)
    n_shots = int(stated[1]) if stated else None
    if stated:
        text = (text[: stated.start()] + text[stated.end() :]).strip(" _-:,./")
    lower = text.lower().replace(" ", "_").replace("-", "_")
    for metric in sorted(METRICS, key=len, reverse=True):
        for mark in "_/.:,":
            if lower.endswith(mark + metric) and len(lower) > len(metric) + 1:
                task = text[: -len(metric) - 1].rstrip(" _-:,./")
                inner = _SHOTS.fullmatch(task) if n_shots is None else None
                if inner:
                    return WideColumn(inner["task"], metric, int(inner["shots"]))
                return WideColumn(task, metric, n_shots)
    return WideColumn(text, UNNAMED, n_shots)


def score_headers(frame: pd.DataFrame, named: Mapping[str, str]) -> list[str]:
    """Headers that hold scores: numbers, no known column, and no size written as a header."""
    known = set(named.values())
    return [
        str(name)
        for name, column in frame.items()
        if str(name) not in known
        and magnitude(str(name)) is None
        and not parsed(str(name)).metric.endswith("stderr")
        and share_of_numbers(column) == 1.0
        and not all(is_missing(cell) for cell in column.tolist())
    ]


def lengthened(frame: pd.DataFrame, named: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """The table with one row per score under task, metric, n_shots, value; and a line about it."""
    headers = score_headers(frame, named)
    # A column that a name is taken from has no place among those that are melted.
    kept = [name for name in frame if str(name) not in headers]
    # Names that no file has, since a column of the table may be called value.
    long = frame.melt(kept, headers, var_name="\0header", value_name="\0value")
    meanings = {header: parsed(header) for header in headers}
    found = [meanings[header] for header in long.pop("\0header")]
    long["value"] = long.pop("\0value")
    long["task"] = [one.task for one in found]
    long["metric"] = [one.metric for one in found]
    if any(one.n_shots is not None for one in meanings.values()):
        long["n_shots"] = [one.n_shots for one in found]
    empty = long["value"].map(is_missing)
    shown = ", ".join(
        f"{header!r} as {one.metric} of {one.task}"
        + (f" with {one.n_shots} shots" if one.n_shots is not None else "")
        for header, one in list(meanings.items())[:3]
    )
    note = (
        f"{len(headers)} columns were read as scores: {shown}"
        f"{' and so on' if len(headers) > 3 else ''}; {sum(empty.tolist())} of {len(long)} "
        f"cells are empty"
    )
    return long.loc[~empty].reset_index(drop=True), note
