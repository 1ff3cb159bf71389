import numpy as np
import pandas as pd
import pytest

from analysis.data.readers import from_frame, read_sweeps
from analysis.report import run_table as runbook
from analysis.report.run_table import build_run_table, limits, run_table


@pytest.fixture
def table(sweep_dir):
    return read_sweeps([sweep_dir])


def fact(book, row, name):
    return book.cells[row][book.columns.index(name)]


def test_a_run_is_described_by_its_spec_and_outcome(table):
    book = build_run_table(table, set(table.texts("run_id")))
    assert fact(book, 0, "run") == table.texts("name")[0]
    assert fact(book, 0, "shape") == "2×8×2"
    assert fact(book, 0, "n_params") == "3.72k"
    assert fact(book, 0, "lr_peak") == "0.01"
    assert fact(book, 0, "fitted") == "yes"
    assert float(fact(book, 0, "loss")) == pytest.approx(table.numbers("loss")[0], rel=1e-4)
    flops, loss = book.curves[book.run_ids[0]]
    assert flops == sorted(flops) and len(loss) == 10
    assert loss[-1] == pytest.approx(table.numbers("loss")[0], rel=1e-4)


def test_fitted_runs_come_first_and_the_rest_says_so(table):
    used = set(table.texts("run_id")[-3:])
    book = build_run_table(table, used)
    assert set(book.run_ids[:3]) == used
    assert [fact(book, row, "fitted") for row in (2, 3)] == ["yes", "no"]
    assert limits(book) == []


def test_the_table_leaves_out_columns_of_one_value(table):
    book = build_run_table(table, set(table.texts("run_id")))
    shown = run_table(book)
    assert "n_params" in shown.columns and "loss" in shown.columns
    assert "lr_peak" not in shown.columns  # 0.01 everywhere
    assert shown.sortable and len(shown.run_ids) == len(shown.rows)


def test_what_a_page_cannot_hold_is_stated(table, monkeypatch):
    monkeypatch.setattr(runbook, "MOST_RUNS", 20)
    monkeypatch.setattr(runbook, "MOST_CURVES", 7)
    book = build_run_table(table, set(table.texts("run_id")))
    assert len(book.cells) == 20 and len(book.curves) <= 7
    missing, curves = limits(book)
    assert missing.startswith(f"{len(table) - 20} more runs are not on this page")
    assert curves.startswith(f"Training curves of {len(book.curves)} of the 20 runs")
    assert run_table(book).title == f"Runs (20 of {len(table)})"


def test_a_foreign_table_needs_no_columns_beyond_its_own():
    frame = pd.DataFrame(
        {"n_params": [1e6, 2e6], "n_tokens": [1e9, 1e9], "loss": [3.0, 2.9], "seed": [1, np.nan]}
    )
    book = build_run_table(from_frame(frame, "mine.csv"), set())
    assert book.run_ids == ("row 1", "row 2")
    assert [fact(book, row, "seed") for row in (0, 1)] == ["1", ""]
    assert book.curves == {}
