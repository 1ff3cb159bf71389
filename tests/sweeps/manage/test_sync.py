"""Runs that W&B has not got, uploaded later."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sweeps.manage.sync import MOST_LETTERS, lacking_lines, sync
from tests.support.sweep_fixtures import make_sweep
from tests.support.wandb_server import WandbServer, used_here
from train.config.run_config import TrackerSpec
from train.rundir.atomic import write_json
from train.rundir.lock import claim
from train.rundir.record import RunPaths, append_status, read_job, write_job
from train.trackers.mirror import Mirror, read_mirror


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    """Four runs mirrored to W&B, two finished, of which the service has nothing."""
    made = make_sweep(tmp_path, n_done=2)
    for number, run_dir in enumerate(made):
        job = read_job(run_dir)
        write_job(run_dir, replace(job, tracker=TrackerSpec(kind="wandb", project="tests")))
        write_json(RunPaths(run_dir).mirror("wandb"), asdict(Mirror(f"id{number}", number < 2)))
    append_status(made[2], "failed", message="x")
    return made


def test_a_run_is_uploaded_from_its_files_once(tmp_path, dirs, monkeypatch):
    with WandbServer() as server, used_here(monkeypatch, server):
        assert len(sync(tmp_path).lines) == 4
        runs = {run.name: run for run in server.runs.values()}
        assert sorted(runs) == ["id0", "id1", "id2", "id3"]
        assert runs["id0"].steps() == [1, 2]
        assert runs["id0"].exit_codes == [0]
        assert runs["id0"].summary["run_id"] == read_job(dirs[0]).run_id
        assert runs["id2"].exit_codes == [1]
        assert sync(tmp_path).lines == []
        write_json(RunPaths(dirs[0]).mirror("wandb"), asdict(Mirror("id0", True)))
        assert len(sync(tmp_path).lines) == 1
        assert runs["id0"].steps() == [1, 2]


def test_what_a_tracker_lacks_of_ended_runs_is_one_line_with_its_reason(tmp_path, dirs):
    assert lacking_lines(tmp_path, dirs, ("mlflow",)) == []
    path = RunPaths(dirs[0]).mirror("wandb")
    write_json(path, asdict(Mirror("id0", True, False, "HTTPError: 503\nand more")))
    (line,) = lacking_lines(tmp_path, dirs, ("files", "wandb"))
    assert line.startswith("wandb has not got 2 of 4 runs (HTTPError: 503); files have")
    assert line.endswith(f"isoflop sweep sync {tmp_path}")
    write_json(path, asdict(Mirror("id0", True, True)))
    write_json(RunPaths(dirs[1]).mirror("wandb"), asdict(Mirror("id1", True, False, 999 * "x")))
    (line,) = lacking_lines(tmp_path, dirs, ("wandb",))
    assert (
        line.startswith("wandb has not got 1 of 4 runs (xx") and len(line) < 2 * MOST_LETTERS + 99
    )


def test_a_service_that_does_not_answer_is_one_problem_and_changes_nothing(
    tmp_path, dirs, monkeypatch
):
    with WandbServer("500") as server, used_here(monkeypatch, server):
        done = sync(tmp_path)
    assert done.lines == []
    assert len(done.problems) == 1
    assert "HTTP 500); 4 runs wait for it" in done.problems[0]
    assert not any(read_mirror(path).uploaded for path in dirs)


def test_runs_in_progress_are_left_alone(tmp_path, dirs):
    seen: list[Path] = []
    with claim(dirs[3]):
        done = sync(tmp_path, upload=lambda path: seen.append(path))
    assert seen == dirs[:3]
    assert done.lines[0].startswith("1 runs are in progress")


def test_offline_directories_of_earlier_releases_are_uploaded_once_and_failures_listed(tmp_path):
    dirs = make_sweep(tmp_path, n_done=1)
    for number, path in enumerate(dirs[:3]):
        offline = path / "wandb" / f"offline-run-{number}"
        offline.mkdir(parents=True)
    (dirs[2] / "wandb" / "offline-run-2" / "run.wandb.synced").write_text("")
    seen = []

    def upload(directory: Path) -> str | None:
        seen.append(directory.name)
        return "no network" if directory.name.endswith("1") else None

    done = sync(tmp_path, upload)
    assert seen == ["offline-run-0", "offline-run-1"]
    assert len(done.lines) == 1
    assert "no network" in done.problems[0]
