"""The harness's results as rows of evals.parquet: tasks, groups, shots, errors, chance."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

FORMAT = "lm_eval"
"""The column `format` of rows that the harness's metrics gave."""

SPLIT = "test"
_Z_95 = 1.959963984540054
_OF_CHOICES = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")


def rows_of(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of evals.parquet (without the run's columns) of every task, group and metric."""
    chance = _chances(found)
    groups = {**found.get("results", {}), **found.get("groups", {})}
    rows = []
    for task, scores in groups.items():
        members = [name for name in _leaves(task, found) if name in found.get("n-samples", {})]
        sizes = {name: found["n-samples"][name]["effective"] for name in members}
        shots = [found["n-shot"][name] for name in members if name in found.get("n-shot", {})]
        for metric, value, error in _scores(scores):
            half = _Z_95 * error if error is not None else None
            rows.append(
                {
                    "task": task,
                    "operands": "",
                    "format": FORMAT,
                    "n_shots": int(shots[0]) if shots else 0,
                    "split": SPLIT,
                    "metric": metric,
                    "value": value,
                    "ci_low": None if half is None else value - half,
                    "ci_high": None if half is None else value + half,
                    "n_items": sum(sizes.values()) or None,
                    "target_length": None,
                    "position": None,
                    "n_first": None,
                    "chance": _weighted(chance, sizes) if _graded(metric) else None,
                    "stderr": error,
                }
            )
    return rows


def _scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, float, float | None]]:
    """(metric, value, standard error) of `metric,filter` keys; the usual filter is not named."""
    for key, value in scores.items():
        name, _, used = str(key).partition(",")
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if name.endswith("_stderr") or name in ("alias", "sample_len", "sample_count"):
            continue
        error = scores.get(f"{name}_stderr,{used}")
        known = isinstance(error, int | float) and math.isfinite(error)
        shown = name if used in ("", "none") else f"{name} ({used})"
        yield shown, float(value), float(error) if known and error is not None else None


def _leaves(task: str, found: Mapping[str, Any]) -> list[str]:
    """The tasks of a group, through groups of groups; a task alone is its own."""
    below = found.get("group_subtasks", {}).get(task) or []
    return [leaf for name in below for leaf in _leaves(name, found)] if below else [task]


def _graded(metric: str) -> bool:
    return metric.partition(" ")[0] in _OF_CHOICES


def _chances(found: Mapping[str, Any]) -> dict[str, float]:
    """Mean over items of 1 / number of choices, of each multiple-choice task."""
    chances = {}
    for task, samples in found.get("samples", {}).items():
        config = found.get("configs", {}).get(task, {})
        if config.get("output_type") != "multiple_choice" or not samples:
            continue
        # Mutual information asks every choice a second time, without its context.
        metrics = [one.get("metric") for one in config.get("metric_list") or []]
        times = 2 if "acc_mutual_info" in metrics else 1
        n_choices = [len(one["resps"]) / times for one in samples]
        chances[task] = sum(1 / n for n in n_choices) / len(n_choices)
    return chances


def _weighted(chance: Mapping[str, float], sizes: Mapping[str, int]) -> float | None:
    """The chance of tasks together, by their items; None where one of them has none."""
    if not sizes or any(name not in chance for name in sizes):
        return None
    return sum(chance[name] * n for name, n in sizes.items()) / sum(sizes.values())
