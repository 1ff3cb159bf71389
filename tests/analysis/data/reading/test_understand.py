"""What is asked for by name, and what a table says of itself."""

import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_table import TableError
from analysis.data.readers import from_frame
from analysis.data.reading.columns import label_columns

N = np.geomspace(1e7, 1e9, 8)
FRAME = pd.DataFrame({"N": N, "D": 20 * N, "loss": 5 - np.log10(N) / 4})


def test_any_column_of_the_design_can_be_named():
    frame = FRAME.assign(**{"Random Seed": range(8), "All Params": N * 1.2})
    table = from_frame(frame, "memory", {"seed": "Random Seed", "n_params_total": "All Params"})
    assert table.numbers("seed").tolist() == list(range(8))
    assert table.counted("6nd").n_params == pytest.approx(N * 1.2)


def test_a_misspelt_field_is_suggested_and_an_empty_name_leaves_a_field_alone():
    with pytest.raises(TableError, match=r"n_param is no field; did you mean n_params\?"):
        from_frame(FRAME, "memory", {"n_param": "N"})
    frame = FRAME.assign(status="crashed")
    assert len(from_frame(frame, "memory", {"status": ""})) == 8
    # A status of words that say nothing of runs is none.
    assert len(from_frame(FRAME.assign(status="ok"), "memory")) == 8


def test_a_column_of_the_right_name_and_no_number_is_quoted():
    with pytest.raises(TableError, match="first reason: loss='soon' is no number"):
        from_frame(FRAME.assign(loss="soon"), "memory")


def test_datasets_of_one_table_are_kept_apart():
    frame = FRAME.assign(dataset=["web", "code"] * 4)
    table = from_frame(frame, "memory")
    assert table.texts("data").tolist() == ["web", "code"] * 4
    # A size of the data is no name of it.
    assert "data" not in from_frame(FRAME.assign(dataset=20 * N), "memory").runs


def test_labels_are_texts_of_few_values():
    frame = FRAME.assign(dataset=["web", "code"] * 4, run=[f"r{i}" for i in range(8)], one="x",
                         gap=["a", None] * 4)  # fmt: skip
    assert label_columns(frame, most=5) == {"dataset": ["web", "code"] * 4, "gap": ["a", ""] * 4}
