"""What any tracker may do wrong, on one of our own: no run ends of it, and no step waits for it."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweeps.manage.sync import sync
from tests.support.runs import metrics, weights
from train.config import run_config
from train.config.run_config import RunConfig, TrackerSpec
from train.run import train_run
from train.rundir.record import RunPaths, write_job
from train.trackers import background
from train.trackers.kinds import KINDS, Kind, Opened
from train.trackers.mirror import read_mirror


class Memory:
    """A tracker of Accelerate's form that keeps what it is given, or fails as it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.statuses: list[str] = []
        self.fault = ""
        self.answering = threading.Event()

    def open(self, job: RunConfig, run_dir: Path, former: str, fresh: str) -> Opened:
        self._do("open")
        return Opened(self, former or fresh, max((step for step, _ in self.rows), default=0))

    def log(self, values: dict[str, float], step: int) -> None:
        self._do("log")
        self.rows.append((step, values))

    def close(self, tracker: Any, status: str) -> None:
        self._do("close")
        self.statuses.append(status)

    def steps(self) -> list[int]:
        return [step for step, values in self.rows if "train/loss" in values]

    def _do(self, what: str) -> None:
        if self.fault == f"mute at {what}":
            self.answering.wait()
        elif self.fault == f"fails at {what}":
            raise ConnectionError("gone")


@pytest.fixture
def memory(monkeypatch):
    """tracker=memory, with short times to wait for it."""
    made = Memory()
    kind = Kind("sys", made.open, made.close, lambda: "http://memory")
    monkeypatch.setitem(KINDS, "memory", kind)
    monkeypatch.setattr(run_config, "TRACKERS", (*run_config.TRACKERS, "memory"))
    monkeypatch.setattr(background, "_too_slow", set())
    yield made
    made.answering.set()
    for thread in threading.enumerate():
        if thread.name == "memory":
            thread.join()


def tracked(job: RunConfig, run_dir: Path) -> Path:
    write_job(run_dir, replace(job, tracker=TrackerSpec("memory", mode="online")))
    return run_dir


@pytest.mark.parametrize("when", ["open", "log", "close"])
@pytest.mark.parametrize("how", ["fails", "mute"])
def test_a_tracker_that_fails_ends_no_run_and_gets_the_rest_by_sync(
    how: str, when: str, memory: Memory, tmp_path: Path, tiny_job: RunConfig, finished: Path,
    monkeypatch, caplog,
):  # fmt: skip
    monkeypatch.setattr(background, "FINISH_SECONDS", 0.2 if how == "mute" else 60.0)
    memory.fault = f"{how} at {when}"
    run_dir = tracked(tiny_job, tmp_path / "sweep" / "runs" / "run")
    assert train_run(run_dir) == "finished"
    assert weights(run_dir) == weights(finished)
    assert metrics(run_dir) == metrics(finished)
    assert "isoflop sweep sync" in caplog.text
    mirror = read_mirror(run_dir, "memory")
    assert mirror is not None and mirror.ended and not mirror.uploaded
    memory.answering.set()
    for thread in [one for one in threading.enumerate() if one.name == "memory"]:
        thread.join()
    memory.fault = ""
    monkeypatch.setattr(background, "FINISH_SECONDS", 60.0)
    background._too_slow.clear()
    assert sync(tmp_path / "sweep").problems == []
    assert memory.steps() == [10, 20, 30, 40]
    assert memory.statuses[-1] == "finished"
    assert read_mirror(run_dir, "memory").uploaded


def test_a_launch_waits_for_a_mute_tracker_once(
    memory: Memory, tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    monkeypatch.setattr(background, "FINISH_SECONDS", 0.2)
    memory.fault = "mute at open"
    assert train_run(tracked(tiny_job, tmp_path / "a")) == "finished"
    monkeypatch.setattr(background, "FINISH_SECONDS", 1e6)
    assert train_run(tracked(tiny_job, tmp_path / "b")) == "finished"
    assert not read_mirror(tmp_path / "b", "memory").uploaded


def test_a_mirror_that_can_not_be_written_ends_no_run(
    memory: Memory, tmp_path: Path, tiny_job: RunConfig
):
    run_dir = tracked(tiny_job, tmp_path / "run")
    RunPaths(run_dir).mirror("memory").mkdir()
    started = time.monotonic()
    assert train_run(run_dir) == "finished"
    assert memory.steps() == [10, 20, 30, 40]
    assert time.monotonic() - started < 60
