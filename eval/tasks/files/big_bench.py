"""BIG-bench's task.json by BIG-bench's own rules (Srivastava et al. 2022, its API's defaults).

Examples that repeat are asked once. Choices are shown in an order drawn for each example, from a
generator with seed 42 over the sorted choices. An output ends with its stop_string, which is part
of it. Without output_regex and stop_string the answer is the output up to its first . ? ! ; or line
end. Which metric is which of ours: `METRICS`.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eval.tasks.files.rows import field, parsed, strings
from eval.tasks.files.source import Source
from eval.tasks.generated import TaskError
from eval.tasks.grading import FIRST_SENTENCE, Grading
from eval.tasks.prompt_formats import STOP, Item

SEED = 42

METRICS: Mapping[str, tuple[str, ...]] = {
    "exact_str_match": ("exact_match",),
    "exact_match": ("exact_match",),
    "multiple_choice_grade": ("multiple_choice_grade",),
    "multiple_choice_brier_score": ("brier_over_choices",),
    "calibration_multiple_choice_brier_score": ("brier_over_choices",),
    "expected_calibration_error": ("choice_calibration_error",),
    "log_likelihood": ("target_nll",),
    "bleu": ("bleu",),
    "rouge": ("rouge1", "rouge2", "rougeLsum"),
}
"""Our metrics of each of BIG-bench's that is computed."""

_DECODED = ("exact_str_match", "exact_match", "bleu", "rouge")


def big_bench_source(path: Path, text: str) -> Source:
    """Items, prefixes and grading rules of a task.json.

    Raises:  TaskError: malformed, a container of subtasks, or none of its metrics is computed.
    """
    task = parsed(text, str(path))
    if isinstance(task, dict) and "examples" not in task:
        subtasks = subtask_files(path.parent)
        if subtasks:
            raise TaskError(f"{path} has no 'examples': a container of subtasks; {named(subtasks)}")
    examples = field(task, "examples", list, str(path))
    metrics = strings(task.get("metrics", []), "metrics", str(path))
    computed = tuple(name for name in metrics if name in METRICS)
    missing = tuple(name for name in metrics if name not in METRICS)
    if metrics and not computed:
        raise TaskError(
            f"{path}: none of its metrics ({', '.join(metrics)}) is computed; expected one of "
            f"{', '.join(METRICS)}"
        )
    rng = np.random.RandomState(SEED)
    distinct = list({json.dumps(one): (i, one) for i, one in reversed(list(enumerate(examples)))}
                    .values())[::-1]  # fmt: skip
    items = [_item(task, one, f"{path} example {i}", rng) for i, one in sorted(
        distinct, key=lambda pair: pair[0])]  # fmt: skip
    only_scored = all(item.choices for item in items)
    excluded = {f"metric {name}: not computed": 1 for name in missing}
    if len(distinct) < len(examples):
        excluded["examples that repeat"] = len(examples) - len(distinct)
    return Source(
        name=str(task.get("name") or path.parent.name or path.stem),
        items=items,
        separator=str(task.get("few_shot_example_separator", STOP)),
        prefix=str(task.get("task_prefix", "")),
        grading=_grading(task, computed),
        decode=any(name in _DECODED for name in metrics) or not only_scored,
        excluded=excluded,
    )


def subtask_files(directory: Path) -> list[Path]:
    """task.json of each subtask of a container task."""
    return sorted(directory.glob("*/task.json"))


def named(subtasks: list[Path]) -> str:
    """What to type for the subtasks of a container."""
    shown = ", ".join(path.parent.name for path in subtasks[:5])
    more = f" and {len(subtasks) - 5} more" if len(subtasks) > 5 else ""
    return f"name one of its {len(subtasks)} subtasks ({shown}{more}): path={subtasks[0]}"


def _grading(task: dict[str, Any], metrics: tuple[str, ...]) -> Grading:
    pattern, stop = task.get("output_regex"), task.get("stop_string")
    if pattern is None and stop is None:
        pattern = FIRST_SENTENCE
    given = stop is not None and stop != ""
    return Grading(str(pattern or ""), stop=str(stop or STOP), keep_stop=given, metrics=metrics)


def _item(task: dict[str, Any], example: Any, where: str, rng: np.random.RandomState) -> Item:
    question = field(example, "input", str, where)
    before = str(task.get("example_input_prefix", "\nQ: "))
    after = str(task.get("example_output_prefix", "\nA: "))
    scores = example.get("target_scores")
    if scores is None:
        given = field(example, "target", (str, list), where)
        targets = strings([given] if isinstance(given, str) else given, "target", where)
        if not targets:
            raise TaskError(f"{where}: target is an empty list; expected at least one answer")
        # The stop string ends an output and belongs to it: behind a target it is not asked twice.
        shown = targets[0].removesuffix(str(task.get("stop_string") or ""))
        return Item(before + question + after, shown, targets[0].strip(), accepted=targets[1:])
    if not isinstance(scores, dict) or not scores:
        raise TaskError(f"{where}: target_scores must map each choice to its score; got {scores!r}")
    choices = tuple(str(choice) for choice in scores)
    worth = _numbers(list(scores.values()), where)
    listed = ""
    if task.get("append_choices_to_input", True):
        mark = str(task.get("choice_prefix", "\n  choice: "))
        shown = [sorted(choices)[i] for i in rng.permutation(len(choices))]
        listed = "".join(mark + choice for choice in shown)
    right = choices[int(np.argmax(worth))]
    return Item(before + question + listed + after, right, "", choices, worth)


def _numbers(values: list[Any], where: str) -> tuple[float, ...]:
    convert: Callable[[Any], float] = float
    try:
        return tuple(convert(value) for value in values)
    except (TypeError, ValueError) as error:
        raise TaskError(f"{where}: target_scores must be numbers; got {values!r:.60}") from error
