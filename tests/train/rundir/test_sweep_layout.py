"""A sweep's directory: runs found again by identity, damage mended, nothing written over."""

import json

import pytest

from sweeps.plan.expand import Expansion
from sweeps.plan.write_sweep import create_run, placed, write_plan
from tests.support.sweep_fixtures import expansion, grid, make_sweep
from train.rundir.atomic import read_jsonl
from train.rundir.record import read_job
from train.rundir.sweep_layout import FLAT_LIMIT, StoreError, prepare, run_dirs


def test_runs_are_found_by_identity_whatever_their_directory_is_called(tmp_path):
    dirs = make_sweep(tmp_path)
    dirs[0].rename(tmp_path / "runs" / "renamed-by-hand")
    runs = expansion(other_name=grid()).runs
    places = placed(tmp_path, runs)
    assert places[runs[0].run_id].name == "renamed-by-hand"
    assert [places[run.run_id] for run in runs[1:]] == dirs[1:]


def test_large_sweeps_are_spread_over_folders_and_listed_all_the_same(tmp_path):
    many = grid(seeds=list(range(FLAT_LIMIT // 4 + 1)))
    made = expansion(iso=many)
    assert len(made.runs) > FLAT_LIMIT
    places = placed(tmp_path, made.runs)
    for run in made.runs[:20]:
        create_run(places[run.run_id], run, [])
        assert places[run.run_id].parent.name == run.run_id[:2]
    assert set(run_dirs(tmp_path)) == {places[run.run_id] for run in made.runs[:20]}
    assert placed(tmp_path, made.runs) == places


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run_id": "else"}'])
def test_a_damaged_spec_is_restored_and_the_rest_stays(tmp_path, content):
    run = expansion(iso=grid()).runs[0]
    run_dir = tmp_path / "runs" / run.dir_name
    assert not create_run(run_dir, run, ["a=1"])
    (run_dir / "metrics.jsonl").write_text("{}\n")
    (run_dir / "spec.json").write_text(content)
    assert create_run(run_dir, run, ["a=1"])
    assert read_job(run_dir) == run.job
    assert (run_dir / "metrics.jsonl").exists()


def test_an_edited_spec_is_restored(tmp_path):
    run = expansion(iso=grid()).runs[0]
    run_dir = tmp_path / "runs" / run.dir_name
    create_run(run_dir, run, [])
    content = json.loads((run_dir / "spec.json").read_text())
    content["spec"]["optim"]["lr_peak"] = 99
    (run_dir / "spec.json").write_text(json.dumps(content))
    assert create_run(run_dir, run, [])
    assert read_job(run_dir) == run.job


def test_new_labels_are_written_without_being_called_damage(tmp_path):
    first = expansion(iso=grid()).runs[0]
    run_dir = tmp_path / "runs" / first.dir_name
    create_run(run_dir, first, [])
    again = expansion(renamed=grid()).runs[0]
    assert again.run_id == first.run_id
    assert not create_run(run_dir, again, [])
    assert read_job(run_dir).grid == "renamed"


def test_the_plan_lists_runs_and_what_was_left_out(tmp_path):
    made = expansion(a=grid(budgets=[1e3, 1e10]), b=grid(budgets=[1e10]))
    places = placed(tmp_path, made.runs)
    write_plan(tmp_path, made, places, [1.5] * len(made.runs))
    rows = read_jsonl(tmp_path / "plan.jsonl")
    assert [row["status"] for row in rows] == ["planned"] * 2 + ["dropped"] * 2 + ["merged"] * 2
    assert rows[0]["dir"] == f"runs/{made.runs[0].dir_name}"
    assert rows[0]["run_id"] == made.runs[0].run_id
    assert all(row["reason"] for row in rows[2:])


def test_directories_that_are_something_else_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file is a file.*out=DIR"):
        prepare(tmp_path / "file")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("")
    with pytest.raises(StoreError, match="holds no sweep"):
        prepare(tmp_path / "home")
    with pytest.raises(StoreError, match="holds no sweep"):
        run_dirs(tmp_path / "home")
    prepare(tmp_path / "new")
    write_plan(tmp_path / "new", Expansion(), {}, [])
    prepare(tmp_path / "new")
    assert run_dirs(tmp_path / "new") == []


def test_a_spec_of_an_earlier_release_lacks_later_fields_and_is_no_damage(tmp_path):
    run = expansion(iso=grid()).runs[0]
    run_dir = tmp_path / "runs" / run.dir_name
    create_run(run_dir, run, [])
    content = json.loads((run_dir / "spec.json").read_text())
    del content["spec"]["optim"]["optimizer"]
    (run_dir / "spec.json").write_text(json.dumps(content))
    assert not create_run(run_dir, run, [])
    assert "optimizer" in json.loads((run_dir / "spec.json").read_text())["spec"]["optim"]
