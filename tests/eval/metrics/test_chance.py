"""Chance of an accuracy: a choice at random, or the commonest answer, which reads no prompt."""

import pytest

from eval.metrics.aggregate import measure
from eval.metrics.chance import commonest_share
from eval.metrics.per_item import Outcome


def written(target: str, output: str = "x") -> Outcome:
    hits = tuple(a == b for a, b in zip(target, output, strict=False))
    return Outcome(
        prompt="?",
        target=target,
        target_tokens=tuple(map(ord, target)),
        target_logprobs=(-1.0,) * (len(target) + 1),
        target_hits=(*hits, *[False] * (len(target) - len(hits)), True),
        output=output,
        output_tokens=tuple(map(ord, output)),
        stopped=True,
    )


def offered(worth: tuple[float, ...]) -> Outcome:
    choices = tuple("abcdefgh"[: len(worth)])
    return Outcome("?", "a", (1,), choices=choices, choice_scores=worth,
                   choice_logprobs=(-1.0,) * len(worth))  # fmt: skip


def test_chance_of_choices_is_the_worth_of_one_at_random_item_by_item() -> None:
    items = [offered((1.0, 0.0)), offered((0.0, 1.0, 0.0, 0.0)), offered((1.0, 0.5, 0.0, 0.0))]
    chance = {m.metric: m.chance for m in measure(items)}
    assert chance["multiple_choice_grade"] == pytest.approx((1 / 2 + 1 / 4 + 1.5 / 4) / 3)
    assert chance["choice_probability"] == pytest.approx((1 / 2 + 1 / 4 + 2 / 4) / 3)
    assert chance["brier_mean"] is None, "a Brier score is no accuracy"


def test_chance_of_written_answers_is_the_commonest_one_and_none_where_all_differ() -> None:
    found = measure([written(t) for t in ("yes", "yes", "yes", "not", "yet")])
    whole = {m.metric: m.chance for m in found if m.target_length is None and m.n_first is None}
    assert whole["exact_match"] == 2 / 4, "an item's own answer does not count as known"
    assert whole["token_accuracy"] == pytest.approx((3 + 3 + 2) / 4 / 3)
    by_position = {m.position: m.chance for m in found if m.position is not None}
    assert by_position == {1: 3 / 4, 2: 3 / 4, 3: 2 / 4}
    assert whole["target_nll"] is None
    assert commonest_share(list(range(50))) == 0
    assert commonest_share(["one"]) == 0
