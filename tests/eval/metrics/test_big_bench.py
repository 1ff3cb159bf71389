"""BIG-bench's metrics against numbers computed by hand from their definitions."""

import math

import pytest

from eval.metrics.aggregate import measure
from eval.metrics.outcome import Outcome
from eval.tasks.grading import Grading


def item(p: tuple[float, ...], worth: tuple[float, ...], **fields) -> Outcome:
    return Outcome(
        prompt="", target="a", target_tokens=(1,), choices=tuple("abcd"[: len(p)]),
        choice_scores=worth, choice_logprobs=tuple(math.log(x) for x in p), **fields,
    )  # fmt: skip


def values(outcomes: list[Outcome]) -> dict[str, float]:
    return {one.metric: one.value for one in measure(outcomes) if one.target_length is None}


def test_brier_and_calibration_run_over_all_choices_of_all_items() -> None:
    found = values([item((0.75, 0.25), (1, 0)), item((0.125, 0.125, 0.625, 0.125), (1, 0, 0, 0))])
    squares = [0.0625, 0.0625, 0.875**2, 0.125**2, 0.625**2, 0.125**2]
    assert found["brier_over_choices"] == pytest.approx(sum(squares) / 6)
    assert found["brier_mean"] == pytest.approx((sum(squares[:2]) / 2 + sum(squares[2:]) / 4) / 2)
    # Bins of width .1: {.125 x 3: one right}, {.25: wrong}, {.625: wrong}, {.75: right}.
    gaps = abs(3 * 0.125 - 1) + 0.25 + 0.625 + abs(0.75 - 1)
    assert found["choice_calibration_error"] == pytest.approx(gaps / 6)


def test_guessing_is_the_chance_of_grades_item_by_item() -> None:
    outcomes = [item((0.75, 0.25), (1, 0)), item((0.25,) * 4, (1, 0, 0, 0))]
    chance = {one.metric: one.chance for one in measure(outcomes) if one.target_length is None}
    assert chance["multiple_choice_grade"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert chance["brier_mean"] is None


def test_a_grade_between_low_and_high_is_normalised() -> None:
    layout = Grading(metrics=("multiple_choice_grade",)).layout
    outcomes = [
        item((0.75, 0.25), (1, 0), layout=layout),
        item((0.75, 0.25), (0, 0.5), layout=layout),
    ]
    # Grades 1 and 0; a guess gets .5 and .25, the best choice 1 and .5.
    found = values(outcomes)["multiple_choice_grade_normalized"]
    assert found == pytest.approx(100 * (0.5 - 0.375) / (0.75 - 0.375))
    assert "multiple_choice_grade_normalized" not in values([item((0.5, 0.5), (1, 0))])


def written(output: str, *right: str, metric: str) -> Outcome:
    return Outcome(
        prompt="", target=right[0], target_tokens=(1,), answer=right[0], accepted=right[1:],
        output=output, stopped=True, layout=Grading(metrics=(metric,)).layout,
    )  # fmt: skip


def test_bleu_is_sacrebleus_over_the_corpus() -> None:
    pytest.importorskip("sacrebleu")
    same = "the cat sat on the mat"
    assert values([written(same, same, metric="bleu")])["bleu"] == pytest.approx(100)
    # Four of five words, 3 of 4, 2 of 3 and 1 of 2 n-grams; the output is as long as its reference.
    found = values([written("a b c d x", "a b c d e", "z", metric="bleu")])["bleu"]
    assert found == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_rouge_is_the_f1_of_the_reference_that_suits_best() -> None:
    pytest.importorskip("rouge_score")
    found = values([written("one two three", "four", "one two five six", metric="rouge")])
    assert found["rouge1"] == pytest.approx(100 * 2 * 2 / (3 + 4))
    assert found["rouge2"] == pytest.approx(100 * 2 * 1 / (2 + 3))
    assert found["rougeLsum"] == pytest.approx(100 * 2 * 2 / (3 + 4))
