import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_table import TableError, select
from analysis.data.readers import from_frame, read_file, read_sweeps
from analysis.data.reading.understand import TableOptions


def frame(n_rows=8):
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "n_params": 10 ** rng.uniform(6, 9, n_rows),
        "n_tokens": 10 ** rng.uniform(8, 11, n_rows),
        "loss": rng.uniform(2, 4, n_rows),
    })  # fmt: skip


def test_a_sweep_gives_finished_runs_curves_and_named_exclusions(sweep_dir):
    table = read_sweeps([sweep_dir])
    assert set(table.texts("status")) == {"finished"}
    reasons = {row.reason for row in table.excluded}
    assert "status diverged: loss is NaN at step 40" in reasons
    assert "status running" in reasons
    curves = table.training_curves(table.counted())
    assert (np.diff(curves.run) >= 0).all()
    assert len(np.unique(curves.run)) == len(table)


def test_only_one_kind_of_data_is_fitted_and_the_rest_is_excluded_by_name(sweep_dir):
    table = read_sweeps([sweep_dir])
    chosen = select(table)
    assert set(chosen.texts("data")) == {"stdlib"}
    lost = [row for row in chosen.excluded if "trained on arithmetic" in row.reason]
    assert len(lost) == 4
    assert set(select(table, data="arithmetic").texts("data")) == {"arithmetic"}
    with pytest.raises(TableError, match="expected one of: arithmetic beef, stdlib f00d"):
        select(table, data="wiki")
    with pytest.raises(TableError, match=r"expected one of isoflop"):
        select(table, grid="nothing")


def test_the_same_data_name_with_another_fingerprint_is_not_pooled(sweep_dir):
    table = read_sweeps([sweep_dir])
    table.runs.loc[0, "data_fingerprint"] = "0dd"
    chosen = select(table)
    assert any("another fingerprint" in row.reason for row in chosen.excluded)


def test_two_sweeps_are_one_table_and_twins_are_counted_once(sweep_dir):
    once, twice = read_sweeps([sweep_dir]), read_sweeps([sweep_dir, sweep_dir])
    assert len(twice) == len(once)
    assert sum("came before" in row.reason for row in twice.excluded) == len(once)


def test_filters_and_the_highest_losses(sweep_dir):
    table = read_sweeps([sweep_dir])
    few = select(table, where=["n_tokens > 1e6", "seed == 0"])
    assert few.numbers("n_tokens").min() > 1e6
    assert any(row.reason == "fails the filter seed == 0" for row in few.excluded)
    dropped = select(table, drop_highest=2)
    assert dropped.numbers("loss").max() < select(table).numbers("loss").max()
    for condition in ("no_column > 3", "n_tokens + 1", "n_tokens >"):
        with pytest.raises(TableError, match=r"fit\.where"):
            select(table, where=[condition])
    with pytest.raises(TableError, match="no run passes"):
        select(table, where=["loss < 0.01"])


def test_flops_stand_in_for_tokens():
    given = frame().assign(flops=lambda f: 6 * f.n_params * f.n_tokens)
    table = from_frame(given.drop(columns="n_tokens"), "memory")
    assert table.numbers("n_tokens") == pytest.approx(frame()["n_tokens"].to_numpy())


def test_integer_columns_do_not_overflow():
    given = frame().astype({"n_params": "int64", "n_tokens": "int64"})
    given.loc[0, ["n_params", "n_tokens"]] = [10**9, 10**13]
    table = from_frame(given, "memory")
    assert table.warnings == ()
    assert table.numbers("flops")[0] == pytest.approx(6e22)


def test_columns_are_renamed_and_unknown_ones_suggested(tmp_path):
    path = tmp_path / "runs.csv"
    frame().rename(columns={"n_params": "Model Size", "loss": "Eval Loss"}).to_csv(
        path, index=False
    )
    table = read_file(path, TableOptions({"n_params": "Model Size", "loss": "Eval Loss"}))
    assert len(table) == 8
    with pytest.raises(TableError, match="did you mean 'Model Size'"):
        read_file(path, TableOptions({"n_params": "Model Sise"}))
    with pytest.raises(TableError, match="no column loss; it has: Model Size"):
        read_file(path, TableOptions({"loss": ""}))


@pytest.mark.parametrize("bad", [-1.0, 0.0, np.nan, np.inf, "n/a"])
def test_impossible_losses_are_excluded_by_row_and_value(bad):
    given = frame().astype({"loss": object})
    given.loc[2, "loss"] = bad
    table = from_frame(given, "memory")
    assert len(table) == 7
    assert table.excluded[0].run_id == "row 3"
    assert "loss=" in table.excluded[0].reason


def test_duplicated_runs_are_counted():
    given = pd.concat([frame(), frame().iloc[:2]])
    table = from_frame(given, "memory")
    assert len(table) == 8
    assert sum("earlier run" in row.reason for row in table.excluded) == 2


def test_rows_that_repeat_a_run_along_training_are_curves():
    rows = [
        {"run_id": f"r{i}", "n_params": 1e6 * (i + 1), "n_tokens": t, "loss": 4 - i / 10 - t / 1e10}
        for i in range(3)
        for t in (1e9, 2e9, 3e9)
    ]
    table = from_frame(pd.DataFrame(rows), "memory")
    assert len(table) == 3
    assert table.numbers("n_tokens").tolist() == [3e9] * 3
    assert len(table.curves) == 9


def test_flops_far_from_6nd_are_warned_about():
    table = from_frame(frame().assign(flops=lambda f: 6e6 * f.n_params * f.n_tokens), "memory")
    assert "8 of 8 runs have FLOPs more than 3 times off 6 N D" in table.warnings[0]


def mixtures(share: float) -> pd.DataFrame:
    """Eight runs whose tokens meet a share of the parameters, with the FLOPs of those."""
    active = frame().n_params * share
    return frame().assign(
        n_params_active=active, flops=6 * active * frame().n_tokens, sparsity=1 - share
    )


def test_a_mixture_costs_what_a_token_meets_and_nothing_is_asked_of_it():
    given = mixtures(1 / 64)
    assert from_frame(given, "memory").warnings == ()
    assert from_frame(given.drop(columns="n_params_active"), "memory").warnings == ()
    unlike = given.assign(flops=6 * given.n_params * given.n_tokens)
    assert "8 of 8 runs" in from_frame(unlike, "memory").warnings[0]
    as_all = unlike.drop(columns="n_params_active")
    assert from_frame(as_all, "memory").warnings == ()


def test_units_are_not_asked_of_a_mixture_that_meets_a_thousandth_of_itself(tmp_path):
    path = tmp_path / "moe.csv"
    given = mixtures(1e-3).rename(columns={"n_params_active": "Active Params"})
    given.to_csv(path, index=False)
    assert read_file(path).warnings == ()
    given.drop(columns="Active Params").to_csv(path, index=False)
    with pytest.raises(TableError, match=r"flops are 0\.001 times 6 N D"):
        read_file(path)


@pytest.mark.parametrize("missing", ["flops", "n_tokens"])
def test_what_a_table_of_mixtures_lacks_follows_from_what_a_token_meets(missing, tmp_path):
    given = mixtures(1 / 8)
    path = tmp_path / "moe.csv"
    given.drop(columns=[missing, "sparsity"]).to_csv(path, index=False)
    table = read_file(path)
    assert table.numbers(missing) == pytest.approx(given[missing].to_numpy())
    assert "n_params_active" in table.understood[0]


def test_active_parameters_have_the_unit_of_all_parameters(tmp_path):
    path = tmp_path / "moe.csv"
    given = mixtures(1 / 8)
    named = {"n_params": "Params (M)", "n_params_active": "Active Params"}
    given = given.assign(n_params=given.n_params / 1e6, n_params_active=given.n_params_active / 1e6)
    given.rename(columns=named).to_csv(path, index=False)
    table = read_file(path)
    assert table.numbers("n_params_active") == pytest.approx(table.numbers("n_params") / 8)


def test_tables_that_are_none(tmp_path):
    with pytest.raises(TableError, match="not a file"):
        read_file(tmp_path / "missing.csv")
    empty = tmp_path / "empty.csv"
    empty.write_text("n_params,n_tokens,loss\n")
    with pytest.raises(TableError, match="no rows"):
        read_file(empty)
    empty.write_text("")
    with pytest.raises(TableError, match="can't be read"):
        read_file(empty)
    garbage = tmp_path / "garbage.parquet"
    garbage.write_bytes(b"PAR1 not")
    with pytest.raises(TableError, match="can't be read"):
        read_file(garbage)
    with pytest.raises(TableError, match="no usable run: 8 excluded"):
        from_frame(frame().assign(loss=-1.0), "memory")


def test_a_sweep_that_was_not_collected_says_what_to_run(tmp_path):
    with pytest.raises(TableError, match="not a directory"):
        read_sweeps([tmp_path / "nowhere"])
    with pytest.raises(TableError, match="isoflop sweep collect"):
        read_sweeps([tmp_path])


def test_an_unknown_epoch_count_is_zero_and_the_most_counts():
    assert from_frame(frame(), "memory").epochs().max() == 0
    table = from_frame(frame().assign(epochs_a=0.5, epochs_b=2.0), "memory")
    assert table.epochs().tolist() == [2.0] * 8
