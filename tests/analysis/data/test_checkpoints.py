"""Which rows are runs and which are points of one: no row is joined by a mere label or lost."""

import numpy as np
import pandas as pd

from analysis.data.readers import from_frame

SIZES = {"57M": 57e6, "74M": 74e6, "125M": 125e6}


def grid(lengths=(1e9, 2.3e9, 5e9, 11e9)):
    """Separate runs: each size trained for each length."""
    rows = [
        {"name": name, "n_params": n, "n_tokens": d, "loss": 1.7 + 400 / n**0.34 + 410 / d**0.28}
        for name, n in SIZES.items()
        for d in lengths
    ]
    return pd.DataFrame(rows)


def curves(n_points=20):
    return grid([1e9 * (i + 1) for i in range(n_points)])


def test_names_of_sizes_do_not_make_training_curves():
    for column in ("name", "run", "Name"):
        table = from_frame(grid().rename(columns={"name": column}), "memory")
        assert (len(table), len(table.curves), table.excluded) == (12, 0, ())
        assert len(set(table.texts("run_id"))) == 12
        assert table.texts("run_id")[0] == "57M (row 1)"
        assert "each row is a run of its own" in table.understood[1]


def test_a_run_id_joins_its_rows():
    table = from_frame(grid().rename(columns={"name": "run_id"}), "memory")
    assert (len(table), len(table.curves)) == (3, 12)
    assert table.numbers("n_tokens").tolist() == [11e9] * 3


def test_a_step_column_joins_rows_and_single_rows_stay_runs():
    steps = curves().assign(step=np.tile(np.arange(20), 3) * 100)
    table = from_frame(steps.drop(columns="name"), "memory")
    assert (len(table), len(table.curves)) == (3, 60)
    # Four rows of one size with unlike steps are four runs of unlike lengths.
    few = grid().assign(step=np.tile([1, 2, 5, 11], 3)).drop(columns="name")
    assert len(from_frame(few, "memory")) == 12


def test_evenly_spaced_rows_of_one_name_are_checkpoints():
    table = from_frame(curves(), "memory")
    assert (len(table), len(table.curves)) == (3, 60)
    assert "evenly spaced" in table.understood[1]


def test_a_point_that_was_logged_twice_is_named():
    twice = pd.concat([curves(), curves().iloc[[4]].assign(loss=9.0)]).rename(
        columns={"name": "run_id"}
    )
    table = from_frame(twice, "memory")
    assert len(table) == 3
    assert len(table.curves) == 60
    (lost,) = table.excluded
    assert (lost.run_id, lost.reason) == ("57M", "a later row has the same run and tokens")


def test_checkpoints_inside_a_schedule_are_no_runs():
    """One loss that a schedule's end has not pulled down yet would count as what D buys."""
    frame = grid().drop(columns="name")
    half = frame.assign(n_tokens=frame.n_tokens * 0.49, loss=frame.loss + 0.3)
    both = pd.concat([
        frame.assign(portion_steps_elapsed=1.0), half.assign(portion_steps_elapsed=0.49)
    ])  # fmt: skip
    table = from_frame(both, "memory")
    assert len(table) == 12
    assert {row.reason for row in table.excluded} == {"a checkpoint at 0.49 of its schedule"}
    assert len(table.excluded) == 12


def test_every_row_is_a_run_a_point_or_an_exclusion():
    for frame in (grid(), curves(), grid().assign(status="finished")):
        frame = frame.copy()
        frame.loc[3, "loss"] = np.nan
        table = from_frame(frame, "memory")
        inside = sum(row.run_id not in set(table.curves["run_id"]) for row in table.excluded)
        said = sum(int(w.split()[0]) for w in table.warnings if "no usable loss" in w)
        assert max(len(table), len(table.curves)) + inside + said == len(frame)
