"""Runs as tests start and compare them."""

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from train import run as run_module
from train.config.resolve import resolve
from train.config.run_config import RunConfig
from train.config.spec import HorizonSpec, ScheduleSpec
from train.data.dataset import describe
from train.run import train_run
from train.rundir.record import RunPaths


def weights(run_dir: Path) -> bytes:
    return (RunPaths(run_dir).checkpoint / "model.safetensors").read_bytes()


def metrics(run_dir: Path) -> list[dict[str, float]]:
    """The rows of metrics.jsonl without their speed, which no two runs share."""
    return [
        {name: value for name, value in row.items() if not name.startswith("throughput/")}
        for row in map(json.loads, RunPaths(run_dir).metrics.read_text().splitlines())
    ]


def start(run_dir: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "train.run", str(run_dir)], stdout=subprocess.DEVNULL
    )


def wait_for_state(run_dir: Path, process: subprocess.Popen) -> None:
    while process.poll() is None and not list(RunPaths(run_dir).state.glob("step-*")):
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wsd(job: RunConfig, n_steps: int, **runtime) -> RunConfig:
    """A branching run of so many steps, all of one trunk; the decay takes the last fifth."""
    spec = replace(
        job.spec,
        optim=replace(job.spec.optim, lr_peak=0.01),
        horizon=HorizonSpec(n_tokens=n_steps * 128.0),
        n_steps=None,
        schedule=ScheduleSpec(name="wsd", warmup_tokens=5 * 128.0),
    )
    runtime = replace(job.runtime, **{"branch": True, **runtime})
    return replace(job, spec=resolve(spec, describe(spec.data, 32)), runtime=runtime)


def interrupted(run_dir: Path, monkeypatch, *steps: int) -> None:
    """Train to the end with stops after so many steps each, resumed from the saved state."""
    for count in steps:
        asked = iter(range(1000))

        @contextmanager
        def stop(asked=asked, count=count):
            yield lambda: next(asked) >= count

        with monkeypatch.context() as patch:
            patch.setattr(run_module, "stop_requests", stop)
            assert train_run(run_dir) == "preempted"
