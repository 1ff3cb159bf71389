"""Killed while W&B mirrors it: the same bits as undisturbed, and one curve without a repetition."""

import os
import random
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.runs import metrics, wait_for_state, weights
from tests.support.wandb_server import WandbServer
from train.commands.processes import python_command, python_environment
from train.config.run_config import RunConfig, TrackerSpec
from train.run import train_run
from train.rundir.atomic import read_jsonl
from train.rundir.record import RunPaths, write_job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory, longer_job: RunConfig) -> Path:
    run_dir = tmp_path_factory.mktemp("reference") / "run"
    write_job(run_dir, longer_job)
    assert train_run(run_dir) == "finished"
    return run_dir


class Training:
    """A run of a sweep that W&B mirrors, in processes that a test may kill."""

    def __init__(self, root: Path, job: RunConfig, server: WandbServer) -> None:
        self.root, self.run_dir = root, root / "runs" / "run"
        self._environment = python_environment({**os.environ, **server.environment()})
        tracker = TrackerSpec(kind="wandb", project="tests")
        runtime = replace(job.runtime, save_every_seconds=0.2)
        write_job(self.run_dir, replace(job, tracker=tracker, runtime=runtime))

    def start(self) -> subprocess.Popen:
        return self._start("train.run", str(self.run_dir))

    def sync(self) -> int:
        return self._start("sweeps", "sync", str(self.root)).wait()

    def done(self) -> bool:
        return RunPaths(self.run_dir).record.exists()

    def _start(self, *words: str) -> subprocess.Popen:
        command = python_command(*words)
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)


def assert_same_bits_and_one_curve(run_dir: Path, reference: Path, server: WandbServer) -> None:
    assert weights(run_dir) == weights(reference)
    assert metrics(run_dir) == metrics(reference)
    served, rows = server.only_run(), read_jsonl(RunPaths(run_dir).metrics)
    assert served.steps() == [row["step"] for row in rows]
    assert served.exit_codes[-1] == 0
    losses = {row["step"]: row["train/loss"] for row in served.rows}
    assert list(losses.values()) == [row["train_loss"] for row in rows]


@pytest.mark.parametrize("seed", range(int(os.environ.get("ISOFLOP_KILLS", "2"))))
def test_killed_at_a_random_step_it_ends_with_the_same_bits_and_one_curve(
    seed: int, tmp_path: Path, longer_job: RunConfig, reference: Path
):
    with WandbServer() as server:
        training = Training(tmp_path, longer_job, server)
        process = training.start()
        wait_for_state(training.run_dir, process)
        time.sleep(random.Random(seed).uniform(0, 1.5))
        process.send_signal(signal.SIGTERM if seed % 5 == 4 else signal.SIGKILL)
        process.wait()
        was_done = training.done()
        assert training.start().wait() == 0
        if was_done:  # killed behind its record: only the mirror may lack something
            assert training.sync() == 0
    assert_same_bits_and_one_curve(training.run_dir, reference, server)


def test_killed_between_its_record_and_the_end_of_its_wandb_run_it_is_left_to_sync(
    tmp_path: Path, longer_job: RunConfig, reference: Path
):
    with WandbServer() as server:
        training = Training(tmp_path, longer_job, server)
        process = training.start()
        while not training.done() and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert training.start().wait() == 0
        assert training.sync() == 0
    assert_same_bits_and_one_curve(training.run_dir, reference, server)
