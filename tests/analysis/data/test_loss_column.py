import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_column import with_loss
from analysis.data.readers import from_frame
from analysis.data.table_error import TableError


def table(bits=(1.0, 1.2)):
    """Two runs, each with two points of its curve; bits per byte are known at the end."""
    frame = pd.DataFrame({
        "run_id": ["a", "a", "b", "b"],
        "n_params": [1e6, 1e6, 2e6, 2e6],
        "n_tokens": [1e8, 2e8, 1e8, 2e8],
        "loss": [4.0, 3.0, 3.5, 2.4],
        "bits_per_byte": [np.nan, bits[0], np.nan, bits[1]],
    })  # fmt: skip
    return from_frame(frame, "made")


def test_the_loss_itself_changes_nothing():
    runs = table()
    assert with_loss(runs, "loss") is runs


def test_another_column_stands_in_the_place_of_the_loss():
    made = with_loss(table(), "bits_per_byte")
    assert made.numbers("loss").tolist() == [1.0, 1.2]
    assert "Every law is of bits_per_byte" in made.warnings[-1]


def test_curves_are_scaled_to_end_at_their_runs_value():
    curves = with_loss(table(), "bits_per_byte").curves
    assert curves["loss"].tolist() == pytest.approx([4 / 3, 1.0, 3.5 / 2, 1.2])


def test_a_run_without_the_column_is_excluded_by_name():
    made = with_loss(table(bits=(1.0, np.nan)), "bits_per_byte")
    assert [(row.run_id, row.reason) for row in made.excluded] == [
        ("b", "no positive finite bits_per_byte (fit.loss)")
    ]
    assert len(made.curves) == 2


def test_an_unknown_or_empty_column_is_refused():
    with pytest.raises(TableError, match=r"fit.loss=bpb is no column of the runs; it has: run_id"):
        with_loss(table(), "bpb")
    with pytest.raises(TableError, match="no run has a positive finite value"):
        with_loss(table(bits=(np.nan, -1.0)), "bits_per_byte")
