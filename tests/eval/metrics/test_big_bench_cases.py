"""BIG-bench's metrics case by case, from a task.json to the number of each metric's definition.

Every expected number is worked out here from the definition (Srivastava et al. 2022, and the API's
documentation), with nothing of the package; docs/evaluation.md has the same table.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eval.metrics.aggregate import measure
from eval.metrics.outcome import Outcome
from eval.tasks.files.file_task import FileOptions, file_set

Choices = list[dict[str, tuple[float, float]]]
"""Per example: choice -> (score, the model's probability)."""


@dataclass(frozen=True)
class Case:
    """A task's metric on examples; `given` are probabilities of choices, or outputs."""

    what: str
    metric: str
    ours: str
    given: Any
    expected: Callable[[], float]
    task: dict[str, Any]


TWO: Choices = [
    {"yes": (1, 0.7), "no": (0, 0.3)},
    {"red": (0, 0.4), "blue": (1, 0.35), "green": (0, 0.25)},
]
PARTIAL: Choices = [{"a": (0.75, 0.6), "b": (0.25, 0.4)}, {"a": (0.1, 0.2), "b": (1.0, 0.8)}]
FIVE: Choices = [{c: (float(c == "a"), 0.2) for c in "abcde"} for _ in range(3)]


def grade() -> float:
    return (1 + 0) / 2


def brier() -> float:
    squares = [0.3**2, 0.3**2, 0.4**2, 0.65**2, 0.25**2]
    return sum(squares) / 5


def calibration() -> float:
    # Tenths: .2 [.25], .3 [.3 .35], .4 [.4], .7 [.7]; right are .7 and .35.
    gaps = [abs(0.25 - 0), abs(0.3 + 0.35 - 1), abs(0.4 - 0), abs(0.7 - 1)]
    return sum(gaps) / 5


def normalised() -> float:
    low = ((0.75 + 0.25) / 2 + (0.1 + 1.0) / 2) / 2
    high = (0.75 + 1.0) / 2
    return 100 * ((0.75 + 1.0) / 2 - low) / (high - low)


def below_chance() -> float:
    low, high = (1 / 2 + 1 / 3) / 2, 1.0
    return 100 * ((0 + 0) / 2 - low) / (high - low)


WRONG: Choices = [
    {"yes": (0, 0.7), "no": (1, 0.3)},
    {"red": (0, 0.4), "blue": (1, 0.35), "green": (0, 0.25)},
]
SENTENCES = [("one two three four", ["one two three four five"])]

CASES = [
    Case("one of two, one of three", "multiple_choice_grade", "multiple_choice_grade", TWO,
         grade, {}),
    Case("scores between 0 and 1", "multiple_choice_grade", "multiple_choice_grade", PARTIAL,
         lambda: (0.75 + 1.0) / 2, {}),
    Case("a tie of five", "multiple_choice_grade", "multiple_choice_grade", FIVE,
         lambda: 1 / 5, {}),
    Case("low and high from the examples", "multiple_choice_grade",
         "multiple_choice_grade_normalized", PARTIAL, normalised, {}),
    Case("below chance", "multiple_choice_grade", "multiple_choice_grade_normalized", WRONG,
         below_chance, {}),
    Case("over all five choices", "multiple_choice_brier_score", "brier_over_choices", TWO,
         brier, {}),
    Case("over all five choices", "expected_calibration_error", "choice_calibration_error", TWO,
         calibration, {}),
    Case("up to the first full stop", "exact_str_match", "exact_match",
         [(" four. Or five", ["four"]), ("four five", ["four"])], lambda: 1 / 2, {}),
    Case("several targets, blanks around", "exact_str_match", "exact_match",
         [("  Paris ", ["London", "Paris"]), ("paris", ["London", "Paris"])], lambda: 1 / 2, {}),
    Case("output_regex", "exact_str_match", "exact_match",
         [("It is 12, or 13", ["12"]), ("none", ["12"])], lambda: 1 / 2,
         {"output_regex": r"\d+"}),
    Case("stop_string", "exact_str_match", "exact_match",
         [("a.b", ["a.b"]), ("a", ["a.b"])], lambda: 1 / 2, {"stop_string": ";"}),
    Case("4 of 5 words in order, a brevity penalty of e^(1 - 5/4)", "bleu", "bleu", SENTENCES,
         lambda: 100 * math.exp(1 - 5 / 4), {"output_regex": ".*"}),
    Case("F1 of 4 words of 4 and 5", "rouge", "rouge1", SENTENCES,
         lambda: 100 * 2 * 4 / (4 + 5), {"output_regex": ".*"}),
    Case("F1 of 3 pairs of 3 and 4", "rouge", "rouge2", SENTENCES,
         lambda: 100 * 2 * 3 / (3 + 4), {"output_regex": ".*"}),
    Case("F1 of the longest common subsequence", "rouge", "rougeLsum", SENTENCES,
         lambda: 100 * 2 * 4 / (4 + 5), {"output_regex": ".*"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.ours}: {case.what}")
def test_a_metric_is_that_of_its_definition(case: Case, tmp_path: Path) -> None:
    if case.metric in ("bleu", "rouge"):
        pytest.importorskip("sacrebleu" if case.metric == "bleu" else "rouge_score")
    chosen = isinstance(case.given[0], dict)
    examples = [
        {"input": f"question {i}"}
        | ({"target_scores": {c: s for c, (s, _) in one.items()}} if chosen else {"target": one[1]})
        for i, one in enumerate(case.given)
    ]
    path = tmp_path / "task.json"
    path.write_text(
        json.dumps({"name": "cases", "metrics": [case.metric], "examples": examples} | case.task)
    )
    task = file_set(path, FileOptions(), 100, 0)
    outcomes = []
    for item in task.splits["test"]:
        given = case.given[int(item.prompt.split("question ")[1].split("\n")[0])]
        fields: dict[str, Any] = {"layout": task.layout, "answer": item.answer,
                                  "accepted": item.accepted}  # fmt: skip
        if chosen:
            fields |= {
                "choices": item.choices, "choice_scores": item.choice_scores,
                "choice_logprobs": tuple(math.log(given[c.strip()][1]) for c in item.choices),
            }  # fmt: skip
        else:
            fields |= {"output": given[0], "stopped": True}
        outcomes.append(Outcome(item.prompt, item.target, (1,), **fields))
    found = {m.metric: m.value for m in measure(outcomes) if m.target_length is None}
    assert found[case.ours] == pytest.approx(case.expected(), rel=1e-9)
