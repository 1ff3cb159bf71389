"""Recall of a table: a fixed table, Zipf's keys, strings that are new and keys that are not."""

from collections import Counter

import numpy as np
import pytest

from eval.tasks.codebook import CodebookSpec, codebook, heldout_strings, training_strings
from eval.tasks.eval_set import codebook_spec, generated_set, length_variant, longest_variant
from eval.tasks.generated import TaskError


def pairs(items) -> list[tuple[str, str]]:
    return [
        pair
        for item in items
        for pair in zip(item.prompt.removesuffix("=").split(), item.target, strict=True)
    ]


def test_every_key_has_one_digit_in_training_and_held_out_strings_alike() -> None:
    spec = CodebookSpec(n_keys=64, n_classes=7)
    trained, held_out = training_strings(spec, 3000, seed=3), heldout_strings(spec, 1000, seed=4)
    table = dict(pairs(trained))
    assert len(table) == 64
    assert set(table.values()) == set("0123456")
    assert all(table[key] == digit for key, digit in pairs(trained) + pairs(held_out))
    assert all(len(key) == 3 and set(key) <= set("abcdefgh") for key in table)


def test_no_held_out_string_is_ever_a_training_string() -> None:
    spec = CodebookSpec(length=3, n_keys=20, lengths="uniform_length")
    trained = {item.prompt for item in training_strings(spec, 5000, seed=1)}
    assert not trained & {item.prompt for item in heldout_strings(spec, 500, seed=2)}


def test_keys_follow_zipf_s_law_whose_exponent_is_a_setting() -> None:
    for exponent in (0.0, 1.0, 2.0):
        spec = CodebookSpec(n_keys=100, exponent=exponent)
        count = Counter(key for key, _ in pairs(training_strings(spec, 8000, seed=0)))
        book = codebook(100, exponent, 10, 8, 3, 0)
        share = np.array([count[key] for key in book.keys]) / count.total()
        law = np.arange(1, 101) ** -exponent
        assert share[:5] == pytest.approx(law[:5] / law.sum(), rel=0.12)


def test_streams_continue_and_lengths_vary_only_where_asked() -> None:
    exact, mixed = CodebookSpec(length=4), CodebookSpec(length=4, lengths="uniform_length")
    assert training_strings(exact, 9000, 5)[:50] == training_strings(exact, 50, 5)
    assert {len(item.target) for item in heldout_strings(exact, 500, 0)} == {4}
    lengths = Counter(len(item.target) for item in heldout_strings(mixed, 3000, 0))
    assert sorted(lengths) == [2, 3, 4]
    assert min(lengths.values()) > 850


def test_a_run_on_several_lengths_is_asked_the_longest_and_all_of_them() -> None:
    spec = codebook_spec({"length": 4, "lengths": "uniform_length", "n_items": 10, "seed": 3})
    longest = longest_variant(spec)
    assert longest == CodebookSpec(length=4)
    assert longest_variant(longest) is None
    assert length_variant(spec) is None
    long, mixed = generated_set(longest, 20), generated_set(spec, 20, seen_seed=3, n_seen=5)
    assert (long.task, long.operands) == ("codebook-512-L4", "")
    assert (mixed.task, mixed.operands) == ("codebook-512-L4", "uniform_length")
    assert long.label != mixed.label
    assert mixed.splits["seen"] == training_strings(spec, 5, seed=3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_keys": 513}, "n_keys=513 must lie in 10..512"),
        ({"length": 1}, "length=1 must lie in 2..64"),
        ({"n_classes": 11}, "n_classes=11 must lie in 2..10"),
        ({"lengths": "all"}, "lengths='all' is unknown; expected exact_length, uniform_length"),
    ],
)
def test_a_codebook_that_cannot_be_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        CodebookSpec(**fields)
