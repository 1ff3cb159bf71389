"""W&B as a mirror, against a server of our own: whole curves, and no run that waits for it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sweeps.manage.sync import _from_files
from tests.support.runs import interrupted, metrics, weights
from tests.support.wandb_server import WandbServer, used_here
from train import run as run_module
from train.config.run_config import RunConfig, TrackerSpec
from train.engine.writer import RunWriter
from train.run import train_run
from train.rundir.record import RunPaths, read_record, write_job
from train.trackers import wandb_run, wandb_service
from train.trackers.mirror import read_mirror
from train.trackers.wandb_run import Wandb

CURVE = [10, 20, 30, 40]
"""Steps at which the tiny run logs."""


@pytest.fixture
def mirrored(tiny_job: RunConfig) -> RunConfig:
    return replace(tiny_job, tracker=TrackerSpec(kind="wandb", project="tests"))


@pytest.fixture
def server(monkeypatch) -> Iterator[WandbServer]:
    with served(monkeypatch) as one:
        yield one


@contextmanager
def served(monkeypatch, mode: str = "ok") -> Iterator[WandbServer]:
    """A server that this process uses, with short times to wait for it, in a launch of its own."""
    monkeypatch.setattr(wandb_run, "FINISH_SECONDS", 2.0)
    monkeypatch.setattr(wandb_run, "INIT_SECONDS", 5.0)
    monkeypatch.setattr(wandb_service.service_problem, "__defaults__", (1.0,))
    with WandbServer(mode) as one, used_here(monkeypatch, one):
        yield one


def fail(server: WandbServer, how: str) -> None:
    if how == "dead":
        server.die()
    else:
        server.mode = how


def at_step(monkeypatch, step: int, action) -> None:
    """Call `action` once, when the tiny run has logged `step`."""
    real = RunWriter._write

    def write(self, row):
        real(self, row)
        if row["step"] == step:
            monkeypatch.setattr(RunWriter, "_write", real)
            action()

    monkeypatch.setattr(RunWriter, "_write", write)


def test_a_run_is_mirrored_whole_with_tags_to_filter_by(
    server, tmp_path: Path, mirrored: RunConfig
):
    write_job(tmp_path / "run", replace(mirrored, sweep="ladder"))
    assert train_run(tmp_path / "run") == "finished"
    seen, record = server.only_run(), read_record(tmp_path / "run")
    assert seen.steps() == CURVE
    assert seen.exit_codes == [0]
    assert seen.group == "ladder"
    assert [tag.split("=")[0] for tag in seen.tags] == ["FLOPs", "N", "D", "tokens_per_param"]
    assert f"FLOPs={record.flops:.1e}" in seen.tags
    assert f"tokens_per_param={record.tokens_per_param:.3g}" in seen.tags
    assert seen.summary["loss"] == record.loss
    assert seen.config["run_id"]["value"] == record.run_id
    mirror = read_mirror(tmp_path / "run")
    assert (mirror.id, mirror.ended, mirror.uploaded) == (seen.name, True, True)


@pytest.mark.parametrize("how", ["mute", "500", "401", "dead"])
def test_a_service_that_fails_after_the_start_costs_seconds_and_is_synced_later(
    how, server, tmp_path: Path, mirrored: RunConfig, monkeypatch, caplog
):
    run_dir, recorded = tmp_path / "run", []
    real = Wandb.finish

    def finish(self, record, status):
        recorded.append(RunPaths(run_dir).record.exists())
        return real(self, record, status)

    monkeypatch.setattr(Wandb, "finish", finish)
    at_step(monkeypatch, 20, lambda: fail(server, how))
    write_job(run_dir, mirrored)
    started = time.monotonic()
    assert train_run(run_dir) == "finished"
    assert time.monotonic() - started < 25
    assert recorded == [True]
    assert "isoflop sweep sync" in caplog.text
    assert not read_mirror(run_dir).uploaded
    with served(monkeypatch) as later:
        later.runs |= server.runs
        assert _from_files(run_dir) is None
        assert later.only_run().steps() == CURVE
        assert later.only_run().exit_codes[-1] == 0
    assert read_mirror(run_dir).uploaded


@pytest.mark.parametrize("how", ["mute", "500", "401", "dead"])
def test_without_the_service_a_launch_is_offline_at_once_and_asks_no_more(
    how, server, tmp_path: Path, mirrored: RunConfig, monkeypatch, caplog
):
    fail(server, how)
    for name in ("first", "second"):
        write_job(tmp_path / name, mirrored)
        started = time.monotonic()
        assert train_run(tmp_path / name) == "finished"
        assert time.monotonic() - started < 60
        assert len(list((tmp_path / name / "wandb").glob("offline-run-*"))) == 1
    assert caplog.text.count("this launch goes on offline") == 1
    assert server.n_requests == (how != "dead")
    with served(monkeypatch) as later:
        assert [_from_files(tmp_path / name) for name in ("first", "second")] == [None, None]
        assert [run.steps() for run in later.runs.values()] == [CURVE, CURVE]


def test_a_service_that_takes_no_run_though_it_answers_leaves_this_one_offline(
    tmp_path: Path, mirrored: RunConfig, monkeypatch
):
    with served(monkeypatch, "no-runs") as server:
        write_job(tmp_path / "a", mirrored)
        assert train_run(tmp_path / "a") == "finished"
        assert len(list((tmp_path / "a" / "wandb").glob("offline-run-*"))) == 1
        server.mode = "ok"
        write_job(tmp_path / "b", mirrored)
        assert train_run(tmp_path / "b") == "finished"
        assert server.runs["user-abcd", "tests", read_mirror(tmp_path / "b").id].steps() == CURVE


def test_a_run_that_fails_closes_its_own_and_the_next_one_opens_another(
    server, tmp_path: Path, mirrored: RunConfig, monkeypatch
):
    def break_down():
        raise RuntimeError("power cut")

    at_step(monkeypatch, 20, break_down)
    for name, seed, status in (("a", 0, "failed"), ("b", 1, "finished")):
        write_job(tmp_path / name, replace(mirrored, spec=replace(mirrored.spec, seed=seed)))
        assert train_run(tmp_path / name) == status
    failed, done = server.runs.values()
    assert failed.name == read_mirror(tmp_path / "a").id
    assert (failed.steps(), failed.exit_codes) == ([10, 20], [1])
    assert (done.steps(), done.exit_codes) == (CURVE, [0])


def test_a_record_that_can_not_be_written_closes_it_too(
    server, tmp_path: Path, mirrored: RunConfig, monkeypatch
):
    def broken(*_):
        raise RuntimeError("no record")

    monkeypatch.setattr(run_module, "record_of", broken)
    write_job(tmp_path / "run", mirrored)
    assert train_run(tmp_path / "run") == "failed"
    assert server.only_run().exit_codes == [1]


def test_after_a_lack_of_memory_the_same_one_goes_on(
    server, tmp_path: Path, mirrored: RunConfig, monkeypatch
):
    def full():
        raise torch.OutOfMemoryError("CUDA out of memory")

    at_step(monkeypatch, 20, full)
    runtime = replace(mirrored.runtime, auto_micro_batch=True)
    write_job(tmp_path / "run", replace(mirrored, runtime=runtime))
    assert train_run(tmp_path / "run") == "finished"
    assert server.only_run().exit_codes == [1, 0]
    assert server.only_run().steps() == CURVE


def test_a_resumed_run_logs_every_step_once(tmp_path: Path, mirrored: RunConfig, monkeypatch):
    write_job(tmp_path / "run", mirrored)
    with WandbServer() as server, used_here(pytest.MonkeyPatch(), server):
        interrupted(tmp_path / "run", monkeypatch, 15, 3, 13)
        # A kill leaves the mirror ahead of the state: the restart repeats steps.
        shutil.rmtree(RunPaths(tmp_path / "run").state)
        assert train_run(tmp_path / "run") == "finished"
    assert server.only_run().steps() == CURVE
    assert server.only_run().exit_codes == [1, 1, 1, 0]


def test_a_run_resumed_offline_leaves_one_directory_with_every_step_once(
    tmp_path: Path, mirrored: RunConfig, monkeypatch
):
    write_job(tmp_path / "run", mirrored)
    interrupted(tmp_path / "run", monkeypatch, 15, 3, 13)
    assert train_run(tmp_path / "run") == "finished"
    [directory] = (tmp_path / "run" / "wandb").glob("offline-run-*")
    with WandbServer() as server:
        subprocess.run(
            [sys.executable, "-m", "wandb", "sync", str(directory)],
            env={**os.environ, **server.environment()},
            check=True,
            capture_output=True,
        )
    assert server.only_run().steps() == CURVE


def test_two_users_two_sweeps_and_a_fresh_repetition_are_runs_of_their_own(
    server, tmp_path: Path, mirrored: RunConfig, monkeypatch
):
    for name, key in (("a", "anna"), ("b", "anna"), ("c", "bert")):
        with used_here(monkeypatch, server, key * 10):
            write_job(tmp_path / name, mirrored)
            assert train_run(tmp_path / name) == "finished"
            if name == "c":
                RunPaths(tmp_path / name).record.unlink()
                assert train_run(tmp_path / name) == "finished"
    entities = [entity for entity, _, _ in server.runs]
    assert entities == ["user-anna", "user-anna", "user-bert", "user-bert"]
    assert len({name for _, _, name in server.runs}) == 4
    assert all(run.steps() == CURVE for run in server.runs.values())
    assert all(run.exit_codes == [0] for run in server.runs.values())


def test_a_mirror_changes_no_bit(server, tmp_path: Path, mirrored: RunConfig, finished: Path):
    write_job(tmp_path / "run", mirrored)
    assert train_run(tmp_path / "run") == "finished"
    assert weights(tmp_path / "run") == weights(finished)
    assert metrics(tmp_path / "run") == metrics(finished)
