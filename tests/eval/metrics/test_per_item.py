"""Metrics against hand-computed and published values."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from eval.metrics.aggregate import calibration_error, measure
from eval.metrics.outcome import Outcome
from eval.metrics.per_item import (
    ITEM_METRICS,
    LOWER_IS_BETTER,
    answer_probability,
    brier_mean,
    brier_sum,
    choice_probability,
    exact_match,
    majority_match,
    multiple_choice_grade,
    multiple_choice_grade_per_byte,
    multiple_choice_grade_per_character,
    multiple_choice_grade_per_token,
    multiple_choice_grade_pmi,
    pass_at,
    target_nll,
    token_accuracy,
    token_edit_distance,
    token_edit_distance_normalized,
    token_nll,
)
from eval.metrics.wilson import wilson


def outcome(**changes) -> Outcome:
    fields: dict = {
        "prompt": "12+34=",
        "target": "46",
        "target_tokens": (4, 6),
        "target_logprobs": (-0.5, -1.0, -0.25),
        "target_hits": (True, False, True),
        "output": "46",
        "output_tokens": (4, 6),
        "output_logprob": -0.1,
        "stopped": True,
    }
    return Outcome(**(fields | changes))


@pytest.mark.parametrize(("n", "bound"), [(100, 0.0370), (1000, 0.00383), (5000, 0.00077)])
def test_wilson_bounds_of_zero_right(n: int, bound: float) -> None:
    low, high = wilson(0, n)
    assert low == 0
    assert high == pytest.approx(bound, rel=4e-3)
    assert wilson(n, n)[0] == pytest.approx(1 - bound, rel=1e-3)


def test_wilson_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for k, n in [(1, 7), (30, 100), (99, 100)]:
        expected = binomtest(k, n).proportion_ci(method="wilson")
        assert np.allclose(wilson(k, n), [expected.low, expected.high], atol=1e-12)


def test_exact_match_needs_the_stop_token() -> None:
    assert exact_match(outcome()) == 1
    assert exact_match(outcome(stopped=False)) == 0
    assert exact_match(outcome(output="45")) == 0
    assert exact_match(outcome(output="046", accepted=("046",))) == 1
    assert exact_match(outcome(output=None)) is None


def test_worked_formats_are_graded_on_their_answer() -> None:
    worked = {"layout": "scratchpad", "target": "2+4+0=06;#46", "answer": "46"}
    assert exact_match(outcome(**worked, output="2+4+0=07;#46")) == 1
    assert exact_match(outcome(**worked, output="2+4+0=06;#47")) == 0
    assert exact_match(outcome(**worked, output="46")) == 0


@pytest.mark.parametrize(
    ("tokens", "distance"), [((4, 6), 0), ((4,), 1), ((), 2), ((6, 4), 2), ((1, 4, 6, 6), 2)]
)
def test_edit_distance_counts_tokens(tokens: tuple[int, ...], distance: float) -> None:
    one = outcome(output_tokens=tokens)
    assert token_edit_distance(one) == distance
    assert token_edit_distance_normalized(one) == distance / 2


def test_likelihoods_include_the_stop_token_where_stated() -> None:
    assert target_nll(outcome()) == pytest.approx(1.75)
    assert token_nll(outcome()) == pytest.approx(0.75)
    assert answer_probability(outcome()) == pytest.approx(math.exp(-1.75))
    assert token_accuracy(outcome()) == 0.5


def test_choices() -> None:
    p = np.array([0.5, 0.2, 0.3])
    one = outcome(
        choices=("a", "bcde", "f"),
        choice_scores=(0.0, 1.0, 0.0),
        choice_logprobs=tuple(np.log(p) - 4),
    )
    assert multiple_choice_grade(one) == 0
    assert multiple_choice_grade_per_character(one) == 1
    assert choice_probability(one) == pytest.approx(0.2)
    accents = replace(
        one, choices=("\u00e9\u00e9", "bb", "fff"), choice_logprobs=(-4.0, -3.0, -5.0)
    )
    assert multiple_choice_grade_per_character(accents) == 1
    assert multiple_choice_grade_per_byte(accents) == 0, "two accents are four bytes"
    expected = 0.5**2 + 0.8**2 + 0.3**2
    assert brier_sum(one) == pytest.approx(expected)
    assert brier_mean(one) == pytest.approx(expected / 3)


def test_pass_at_k_is_the_mean_over_all_subsets() -> None:
    outputs = ("46", "1", "2", "46", "3")
    one = outcome(sample_outputs=outputs, sample_stopped=(True,) * 5)
    for k in (1, 2, 4):
        subsets = list(itertools.combinations(outputs, k))
        expected = sum("46" in subset for subset in subsets) / len(subsets)
        assert pass_at(k)(one) == pytest.approx(expected)
    assert pass_at(8)(one) is None


def test_majority_ignores_outputs_that_never_stopped() -> None:
    one = outcome(sample_outputs=("1", "1", "46"), sample_stopped=(False, False, True))
    assert majority_match(one) == 1
    assert majority_match(outcome(sample_outputs=("1", "1", "46"), sample_stopped=(True,) * 3)) == 0


def test_calibration_error_by_hand() -> None:
    assert calibration_error([0.95, 0.95, 0.05, 0.05], [1, 0, 0, 0]) == pytest.approx(
        0.5 * abs(0.95 - 0.5) + 0.5 * 0.05
    )


def test_measure_breaks_down_by_length_and_resolution() -> None:
    right = [outcome() for _ in range(150)]
    wrong = [outcome(target="123", target_tokens=(1, 2, 3), output="1") for _ in range(50)]
    every = measure(right + wrong)
    found = {(m.metric, m.target_length): m for m in every if m.position is m.n_first is None}
    assert found["exact_match", None].value == 0.75
    assert found["exact_match", None].n_items == 200
    assert found["exact_match", 2].value == 1
    assert found["exact_match", 3].value == 0
    assert found["exact_match", 3].ci_high == pytest.approx(wilson(0, 50)[1])
    (first,) = [m for m in every if m.n_first is not None]
    assert (first.metric, first.n_first, first.n_items, first.value) == ("exact_match", 100, 100, 1)
    at = {(m.target_length, m.position): m for m in every if m.position is not None}
    assert {m.metric for m in at.values()} == {"token_accuracy"}
    assert at[2, 2].value == 0
    assert ("multiple_choice_grade", None) not in found
    mean = found["token_edit_distance", None]
    assert mean.ci_low < mean.value < mean.ci_high


def test_every_metric_that_is_better_when_lower_exists() -> None:
    assert {"token_edit_distance", "brier_sum"} <= LOWER_IS_BETTER
    stored = {*ITEM_METRICS, "calibration_error", "p_true_calibration_error",
              "brier_over_choices", "choice_calibration_error"}  # fmt: skip
    assert not LOWER_IS_BETTER - stored


def test_choices_are_normalised_by_tokens_and_by_what_they_are_without_the_question() -> None:
    """-6, -5, -8 nats; per token -2, -2.5, -2; over p(choice) +1, -1, +2."""
    one = outcome(
        choices=("aaaa", "b", "cc"),
        choice_scores=(1.0, 0.0, 0.5),
        choice_logprobs=(-6.0, -5.0, -8.0),
        choice_n_tokens=(3, 2, 4),
        choice_base_logprobs=(-7.0, -4.0, -10.0),
    )
    assert multiple_choice_grade(one) == 0
    assert multiple_choice_grade_per_token(one) == 0.75, "a tie of two"
    assert multiple_choice_grade_pmi(one) == 0.5
    assert multiple_choice_grade_per_character(one) == 1
    found = {m.metric: m for m in measure([one])}
    assert found["multiple_choice_grade_pmi"].chance == pytest.approx(0.5)
    earlier = replace(one, choice_n_tokens=(), choice_base_logprobs=())
    assert multiple_choice_grade_per_token(earlier) is multiple_choice_grade_pmi(earlier) is None
