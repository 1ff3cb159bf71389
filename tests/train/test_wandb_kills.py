"""Killed while W&B mirrors it: the same bits as undisturbed, and one curve without a repetition."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.runs import metrics, wait_for_state, weights
from tests.support.wandb_server import WandbServer
from train.commands.processes import python_environment
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


@pytest.mark.parametrize("seed", range(int(os.environ.get("ISOFLOP_KILLS", "2"))))
def test_killed_at_a_random_step_it_ends_with_the_same_bits_and_one_curve(
    seed: int, tmp_path: Path, longer_job: RunConfig, reference: Path
):
    run_dir = tmp_path / "run"
    tracker = TrackerSpec(kind="wandb", project="tests")
    runtime = replace(longer_job.runtime, save_every_seconds=0.2)
    write_job(run_dir, replace(longer_job, tracker=tracker, runtime=runtime))
    with WandbServer() as server:
        environment = python_environment({**os.environ, **server.environment()})

        def train() -> subprocess.Popen:
            command = [sys.executable, "-m", "train.run", str(run_dir)]
            return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

        process = train()
        wait_for_state(run_dir, process)
        time.sleep(random.Random(seed).uniform(0, 1.5))
        process.send_signal(signal.SIGTERM if seed % 5 == 4 else signal.SIGKILL)
        process.wait()
        assert train().wait() == 0
    assert weights(run_dir) == weights(reference)
    assert metrics(run_dir) == metrics(reference)
    served = server.only_run()
    logged = [row["step"] for row in read_jsonl(RunPaths(run_dir).metrics)]
    assert served.steps() == logged
    assert served.exit_codes[-1] == 0
    losses = {row["step"]: row["train_loss"] for row in served.rows}
    assert list(losses.values()) == [
        row["train_loss"] for row in read_jsonl(RunPaths(run_dir).metrics)
    ]
