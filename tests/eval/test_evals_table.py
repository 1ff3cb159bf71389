"""Rows of evaluations as earlier releases wrote them, read as today's."""

import math

import pandas as pd
import pytest

from eval.evals_table import SCHEMA, structured, upgraded, upgraded_frame

OLD = [
    ("addition-3", "exact_match", "addition-3", "uniform_value", "exact_match", None, None),
    ("addition-3", "exact_match@1000", "addition-3", "uniform_value", "exact_match", None, 1000),
    ("addition-3-uniform_length", "token_accuracy_12", "addition-3", "uniform_length",
     "token_accuracy", 12, None),
    ("modular-2-exact_length-mod7", "token_nll", "modular-2-mod7", "exact_length", "token_nll",
     None, None),
    ("copy-5", "pass@8", "copy-5", "", "pass@8", None, None),
    ("modified_arithmetic", "exact_match", "modified_arithmetic", "", "exact_match", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("task", "metric", "name", "operands", "what", "position", "n"), OLD)
def test_names_become_columns(task, metric, name, operands, what, position, n) -> None:
    found = structured(task, metric)
    assert found == {
        "task": name, "operands": operands, "metric": what, "position": position, "n_first": n,
    }  # fmt: skip
    assert found.keys() <= set(SCHEMA.names)


def test_todays_rows_stay_as_they_are() -> None:
    row = {"task": "x-uniform_length", "metric": "exact_match@10", "n_first": None}
    assert upgraded(row) == row
    frame = pd.DataFrame([row])
    assert upgraded_frame(frame) is frame
    assert len(upgraded_frame(pd.DataFrame())) == 0


def test_a_table_of_an_earlier_release_has_nulls_for_the_whole() -> None:
    old = pd.DataFrame([{"task": task, "metric": metric} for task, metric, *_ in OLD])
    found = upgraded_frame(old)
    assert found["operands"].tolist() == [row[3] for row in OLD]
    assert found["n_first"].isna().tolist() == [row[6] is None for row in OLD]
    assert math.isnan(found["position"].iloc[0])
    assert found["position"].iloc[2] == 12
