"""A worker whose runs do as their `behave` file says, in milliseconds and without torch.

    finish | fail | damaged | die | hang | slow (finishes unless asked to stop)
    open (notes its open descriptors)
    lose (the device fails, and with it every later run of the process)

The claim, the status trail and the record are the real ones.
"""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweeps.launch.fork_server import become_worker
from sweeps.launch.worker import serve
from tests.support.sweep_fixtures import finish
from train.engine.signals import answer_at_once, stop_requests
from train.rundir.atomic import RecordError
from train.rundir.lock import Claimed, claim
from train.rundir.record import append_status, read_job, read_record

lost: list[Path] = []
"""Runs after which this process's device can't be used."""


def train(run_dir: Path) -> str:
    """What `train.run.train_run` promises, as far as launchers can see."""
    job = read_job(run_dir)
    if read_record(run_dir) is not None:
        return "finished"
    try:
        with claim(run_dir):
            if read_record(run_dir) is not None:
                return "finished"
            with (run_dir / "starts").open("a") as file:
                file.write(f"{os.getpid()} {os.environ['CUDA_VISIBLE_DEVICES']}\n")
            (run_dir / "parent").write_text(str(os.getppid()))
            append_status(run_dir, "running")
            status = _behave(run_dir)
            if status == "finished":
                finish(run_dir, job)
            append_status(run_dir, status, message="as told" if status == "failed" else "")
            return status
    except Claimed:
        return "running"


def _behave(run_dir: Path) -> str:
    told = run_dir / "behave"
    how = told.read_text().strip() if told.exists() else "finish"
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "open":
        (run_dir / "open").write_text(" ".join(sorted(os.listdir("/proc/self/fd"))))
    if how == "hang":
        time.sleep(600)
    if how == "lose":
        lost.append(run_dir)
    if how == "fail" or lost:
        return "failed"
    if how == "damaged":
        raise RecordError("spec.json can't be read")
    if how == "slow":
        with stop_requests() as stopping:
            for _ in range(400):
                if stopping():
                    return "preempted"
                time.sleep(0.05)
    return "finished"


if __name__ == "__main__" and (sys.argv[1:] != ["forks"] or become_worker()):
    answer_at_once()
    serve(train, lambda: not lost)
