"""Run directories to tables."""

import json

import pandas as pd
import pytest

from eval.evals_table import SCHEMA
from sweeps.manage.collect import collect
from tests.support.sweep_fixtures import finish, grid, make_sweep
from train.rundir.atomic import write_json
from train.rundir.record import RunRecord, append_status, read_job
from train.rundir.sweep_layout import StoreError


def test_every_run_is_a_row_whatever_became_of_it(tmp_path):
    dirs = make_sweep(tmp_path, n_done=2)
    append_status(dirs[2], "oom", message="out of memory")
    collected = collect(tmp_path)
    runs = pd.read_parquet(tmp_path / "runs.parquet")
    assert collected.by_status == {"finished": 2, "oom": 1, "planned": 1}
    assert sorted(runs.status) == ["finished", "finished", "oom", "planned"]
    assert runs[runs.status == "finished"].loss.notna().all()
    unfinished = runs[runs.status != "finished"]
    assert unfinished.loss.isna().all()
    assert (unfinished.n_params > 0).all()
    assert (unfinished.n_tokens > 0).all()
    of_jobs = ["flops_6nd", "flops_chinchilla", "recipe", "precision", "schedule"]
    assert not unfinished[of_jobs].isna().to_numpy().any()
    assert (unfinished.flops_6nd == 6 * unfinished.n_params_total * unfinished.n_tokens).all()
    assert list(unfinished.message.sort_values()) == ["", "out of memory"]


def test_columns_are_those_of_the_record_with_each_parts_loss(tmp_path):
    make_sweep(tmp_path, n_done=1)
    collect(tmp_path)
    runs = pd.read_parquet(tmp_path / "runs.parquet")
    fields = set(RunRecord.__dataclass_fields__) - {"losses", "epochs"}
    assert set(runs.columns) == fields | {"loss_text", "epochs_text", "dir"}
    done = runs[runs.status == "finished"].iloc[0]
    assert done.checkpoint == f"{done.dir}/checkpoint"
    assert done.loss_text == 2.0


def test_curves_hold_every_metrics_line_and_torn_ones_do_no_harm(tmp_path):
    dirs = make_sweep(tmp_path, n_done=2)
    with (dirs[0] / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "n_tokens": "many", "train_loss": 1.0}\n{"step": 4')
    collect(tmp_path)
    curves = pd.read_parquet(tmp_path / "curves.parquet")
    assert len(curves) == 5
    assert set(curves.run_id) == {read_job(path).run_id for path in dirs[:2]}
    assert list(curves[curves.step == 3].train_loss) == [1.0]


@pytest.mark.parametrize("odd", [10**19, -(2**70), 10**400, 1.5, "many", [1], {"a": 1}, True])
def test_values_that_fit_no_column_are_left_empty_and_counted(tmp_path, odd):
    dirs = make_sweep(tmp_path, n_done=2)
    with (dirs[0] / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, "n_tokens": odd, "train_loss": 1.0}) + "\n")
    collected = collect(tmp_path)
    [problem] = collected.problems
    assert "metrics.jsonl: 1 values fit no column and are left empty: n_tokens=" in problem
    curves = pd.read_parquet(tmp_path / "curves.parquet")
    assert len(curves) == 5
    assert curves[curves.step == 3].n_tokens.isna().all()


def test_rows_that_fit_no_column_are_left_out_and_counted(tmp_path):
    dirs = make_sweep(tmp_path, n_done=2)
    record = json.loads((dirs[0] / "record.json").read_text()) | {"n_tokens": 10**30}
    (dirs[0] / "record.json").write_text(json.dumps(record))
    (dirs[1] / "evals").mkdir()
    rows = [{"task": "t", "metric": m, "n_items": n} for m, n in (("a", 1), ("b", 10**30))]
    (dirs[1] / "evals" / "a.json").write_text(json.dumps({"rows": rows}))
    (dirs[1] / "evals" / "b.json").write_text("[" * 100_000)
    collected = collect(tmp_path)
    assert collected.n_rows["runs"] == 3
    assert "record.json: n_tokens=1000" in collected.problems[0]
    assert len(collected.problems) == 2
    (dirs[1] / "evals" / "b.json").unlink()
    collected = collect(tmp_path)
    assert collected.n_rows["evals"] == 1
    assert "n_items=1000" in collected.problems[1]


def test_unreadable_runs_are_counted_with_their_reason_and_left_out(tmp_path):
    dirs = make_sweep(tmp_path, n_done=3)
    (dirs[0] / "record.json").write_text("{")
    (dirs[3] / "spec.json").write_text("")
    collected = collect(tmp_path)
    assert len(collected.problems) == 2
    assert any("record.json" in problem for problem in collected.problems)
    assert any("spec.json" in problem for problem in collected.problems)
    assert len(pd.read_parquet(tmp_path / "runs.parquet")) == 2


def test_evaluations_are_gathered_with_their_runs_columns(tmp_path):
    run_dir = make_sweep(tmp_path, n_done=1)[0]
    values = {"task": "addition", "format": "plain", "n_shots": 0, "split": "held_out"}
    row = {**values, "target_length": None, "metric": "exact_match", "value": 0.5}
    row |= {"ci_low": 0.4, "ci_high": 0.6, "n_items": 100}
    write_json(run_dir / "evals" / "addition.json", {"rows": [row], "step": None})
    collect(tmp_path)
    evals = pd.read_parquet(tmp_path / "evals.parquet")
    assert len(evals) == 1
    assert evals.iloc[0].run_id == read_job(run_dir).run_id
    assert evals.iloc[0].value == 0.5
    assert list(evals.columns) == SCHEMA.names


def test_collecting_again_replaces_the_tables_and_leaves_nothing_else(tmp_path):
    dirs = make_sweep(tmp_path)
    collect(tmp_path)
    finish(dirs[0], read_job(dirs[0]))
    collect(tmp_path)
    assert (pd.read_parquet(tmp_path / "runs.parquet").status == "finished").sum() == 1
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"runs", "runs.parquet", "curves.parquet", "evals.parquet"}


def test_a_sweep_of_several_datasets_has_a_column_for_each_part(tmp_path):
    other = grid(base={"data": {"parts": {"sums": {"kind": "arithmetic"}}}})
    make_sweep(tmp_path, a=grid(), b=other)
    collect(tmp_path)
    runs = pd.read_parquet(tmp_path / "runs.parquet")
    assert set(runs.data) == {"text", "sums"}


def test_no_sweep_is_a_clear_error(tmp_path):
    with pytest.raises(StoreError, match="holds no sweep"):
        collect(tmp_path)


def test_of_runs_of_no_plan_the_done_ones_are_rows_and_the_others_are_counted(tmp_path):
    dirs = make_sweep(tmp_path, n_done=2)
    rows = [{"status": "planned", "run_id": path.name[-12:]} for path in dirs[1:3]]
    (tmp_path / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    collected = collect(tmp_path)
    assert collected.by_status == {"finished": 2, "planned": 1}
    assert collected.notes[0].startswith("2 runs are in no plan")
    assert "1 done ones are in the tables, 1 others are not" in collected.notes[0]
