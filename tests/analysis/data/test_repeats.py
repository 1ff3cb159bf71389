"""Rows are evidence once: sweeps over settings, seeds and repeated data."""

import numpy as np
import pandas as pd
import pytest

from analysis.data.budgets import recurring_flops
from analysis.data.loss_table import TableError, select
from analysis.data.readers import from_frame
from analysis.data.repeats import cells_of
from analysis.sections.appendix import best_settings

CELLS = [(n, d) for n in (1e8, 2e8, 4e8, 8e8) for d in (2e9, 8e9, 3.2e10)]
RNG = np.random.default_rng(0)


def law(n, d):
    return 1.7 + 400 / n**0.34 + 410 / d**0.28


def sweep(settings=((1e-4, 32), (3e-4, 64), (1e-3, 128), (3e-3, 256)), spread=0.08):
    """Every cell under some learning rates and batch sizes, one of which is right."""
    rows = [
        {"N": n, "D": d, "lr": lr, "bs": bs, "seed": k,
         "loss": law(n, d) * (1 + spread * ((k - i - 1) % 4))}
        for i, (n, d) in enumerate(CELLS)
        for k, (lr, bs) in enumerate(settings)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_of_a_sweep_over_settings_the_best_run_of_each_cell_is_fitted():
    table = select(from_frame(sweep(), "memory"))
    assert len(table) == 12
    n, d = table.numbers("n_params"), table.numbers("n_tokens")
    assert table.numbers("loss") == pytest.approx(law(n, d))
    assert len(table.excluded) == 36
    assert "its cell's best is" in table.excluded[0].reason
    (note,) = table.warnings
    assert "12 cells of one n_params and n_tokens are swept over lr, bs (4 runs each)" in note
    assert "the second best is 8 % above it (median)" in note


def test_it_can_be_left_or_asked_for_by_other_columns():
    table = from_frame(sweep(), "memory")
    assert len(select(table, best_of=[])) == 48
    assert len(select(table, best_of=["n_params"])) == 4
    assert len(select(table, best_of=["n_params", "lr"])) == 16
    with pytest.raises(TableError, match=r"fit\.best_of: the table has no column 'layers'"):
        select(table, best_of=["layers"])


def test_seeds_of_one_setting_are_no_sweep():
    """Repeats with one learning rate measure the noise; the best of them would hide it."""
    seeds = sweep(((3e-4, 64),) * 4, spread=0.003)
    assert len(select(from_frame(seeds, "memory"))) == 48
    unlike = sweep(((3e-4, 64),) * 4, spread=0.1)
    assert len(select(from_frame(unlike, "memory"))) == 48


def test_settings_that_follow_the_size_are_no_sweep():
    frame = sweep().drop_duplicates(["N", "D"])
    frame = frame.assign(lr=1e-3 * (frame.N / 1e8) ** -0.5)
    assert len(select(from_frame(frame, "memory"))) == 12


def test_settings_of_equal_losses_stay():
    assert len(select(from_frame(sweep(spread=0.0005), "memory"))) == 48


def test_cells_of_unlike_numbers_of_settings_are_said_to_be():
    frame = sweep().drop(index=[0, 1, 2])
    (note,) = select(from_frame(frame, "memory")).warnings
    assert "cells have unlike numbers of them" in note


def test_a_cell_is_two_percent_wide_and_never_wider():
    """A fine ladder must not become one cell by a chain of close neighbours."""
    tokens = 1e9 * 1.015 ** np.arange(12)
    cells = cells_of(pd.DataFrame({"n_tokens": tokens}), ["n_tokens"])
    widths = [np.ptp(np.log(tokens[cells == c])) for c in np.unique(cells)]
    assert max(widths) <= np.log(1.02) + 1e-12
    mixed = pd.DataFrame({"n": [1e9, 1.01e9, 2e9], "data": ["a", "a", "a"]})
    assert cells_of(mixed, ["n", "data"]).tolist() == [0, 0, 1]


def repeated(n_new=12):
    frame = sweep().drop_duplicates(["N", "D"]).drop(columns=["lr", "bs"])
    new = frame.iloc[:n_new]
    return pd.concat([new.assign(unique=new.D), frame.assign(unique=frame.D / 40, loss=4.0)])


def test_repeated_data_is_left_to_the_law_that_counts_repetition():
    table = select(from_frame(repeated(), "memory"), max_epochs=4)
    assert (len(table), len(table.repeating)) == (12, 12)
    assert "saw its tokens 40 times (fit.max_epochs=4)" in table.excluded[0].reason
    assert "12 of 24 runs saw their tokens more than 4 times (up to 40)" in table.warnings[0]
    every = table.with_repeating()
    assert len(every) == 24
    assert sorted(set(every.epochs().round(6))) == [1.0, 40.0]
    assert len(select(from_frame(repeated(), "memory"), max_epochs=np.inf)) == 24


def test_too_few_runs_of_new_data_keep_the_others_with_a_warning():
    table = select(from_frame(repeated(n_new=3), "memory"), max_epochs=4)
    assert len(table) == 15
    assert "count repeated tokens as new ones" in table.warnings[0]


@pytest.mark.parametrize("column", ["C", "FLOPs", "compute", "flops"])
def test_flops_that_recur_to_every_digit_are_budgets_under_any_name(column):
    frame = pd.DataFrame(
        [{"N": n, column: c, "loss": law(n, c / 6 / n)} for c in (1e18, 1.1e18, 4e18)
         for n in (1e7, 3e7, 1e8)]
    )  # fmt: skip
    table = from_frame(frame, "memory")
    assert sorted(set(table.numbers("flops_budget"))) == [1e18, 1.1e18, 4e18]


def test_repeats_of_one_size_are_no_budget():
    n = np.array([1e8, 1e8, 1e8, 2e8, 3e8])
    assert np.isnan(recurring_flops(np.full(5, 1e18), n)).sum() == 0
    assert np.isnan(recurring_flops(np.array([1e18] * 3 + [2e18, 3e18]), n)).all()


@pytest.mark.parametrize("bad", ["heavy", None, -1.0])
def test_weights_that_are_none_are_refused_with_the_value(bad):
    frame = sweep().assign(w=1.0).astype({"w": object})
    frame.loc[3, "w"] = bad
    with pytest.raises(TableError, match=r"fit\.weights=w has .*; expected numbers >= 0"):
        from_frame(frame, "memory").weights("w")
    with pytest.raises(TableError, match="is no column"):
        from_frame(frame, "memory").weights("x")


def test_the_report_names_the_best_settings_of_each_cell():
    chosen = select(from_frame(sweep(), "memory"))
    (table,) = best_settings(chosen)
    assert table.title == "Best settings of each cell (12 cells)"
    assert list(table.columns) == ["N", "D", "lr", "bs", "loss", "runs"]
    rates = {row[2] for row in table.rows}
    assert len(table.rows) == 12 and len(rates) > 1 and {row[-1] for row in table.rows} == {"4"}
    assert [float(row[-2]) for row in table.rows] == pytest.approx(chosen.numbers("loss"), rel=1e-4)
