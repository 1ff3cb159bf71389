"""Runs with fake workers in real processes, shared by the tests of pool, Slurm jobs and faults."""

import sys
import time
from pathlib import Path

from sweeps.directory.run_state import read_state
from sweeps.launch import worker_process
from sweeps.launch.pool import Pool
from sweeps.launch.scheduler import QueuedRun
from sweeps.plan.machine import make_slots
from sweeps.spec.launcher import LauncherSpec

WORKER = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]


def fork_fakes(setattr=setattr):
    """Have fake workers of this process forked, as real ones on a CPU are."""
    setattr(worker_process, "WORKER", WORKER)
    setattr(worker_process, "FORKS", [*WORKER, "forks"])


class Reports(list):
    """Collects (name, status, message)."""

    def __call__(self, task, status, message):
        self.append((task.run_dir, status, message))

    def ended(self):
        ends = {}
        for run_dir, status, message in self:
            ends[run_dir] = (status, message)
        return ends


def behave(run_dir, how):
    (run_dir / "behave").write_text(how)


def tasks(run_dirs):
    return [QueuedRun(path, seconds=float(i)) for i, path in enumerate(run_dirs)]


def run_pool(
    run_dirs, tmp_path, n_workers=2, devices=(), hang_seconds=60.0, command=WORKER, **more
):
    reports = Reports()
    launcher = LauncherSpec(workers=n_workers, affinity=False)
    slots = make_slots(launcher, [0], list(devices))
    Pool(slots, tmp_path / "logs", reports, hang_seconds, command=command, **more).run(
        tasks(run_dirs)
    )
    return reports


def statuses(run_dirs):
    return [read_state(path).status for path in run_dirs]


def wait_for(condition, seconds=30.0):
    """Wait until a condition holds, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)
