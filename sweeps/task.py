"""What a Slurm job runs: its share of a sweep, with an answer to every way a job can end.

    python -m sweeps.task TASKS.json        (the index is SLURM_ARRAY_TASK_ID)

SIGUSR2 comes `signal_seconds` before the time limit: the runs save, and the job requeues itself, at
most `max_requeues` times, then their status is timeout. SIGTERM is a cancellation or a preemption:
the runs save and the job ends; where the cluster preempts by requeueing, Slurm starts it again.
Every job of the array may come again: what is recorded is skipped, what was begun continues.
"""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from sweeps.admission import Task
from sweeps.interrupts import on_interrupt
from sweeps.launchers import LauncherSpec
from sweeps.pool import Pool
from sweeps.queue import read_queue
from sweeps.ranks import Ranks
from sweeps.resources import concurrency
from sweeps.slots import make_slots, usable_cores, visible_devices
from sweeps.slurm import SlurmJobs
from sweeps.state import is_lost, read_state
from train.claim import holder, slurm_job
from train.record import RunPaths, append_status, read_json
from train.spec import IsoflopError

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Train one job's runs; exit status 0 done, 75 stopped before the end, 1 failures."""
    arguments = sys.argv[1:] if argv is None else argv
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        launcher, root, run_dirs = _assignment(Path(arguments[0]))
    except (IsoflopError, IndexError, KeyError, TypeError, ValueError) as error:
        print(f"sweeps.task: {error}", file=sys.stderr)
        return 2
    job = slurm_job() or "none"
    if os.environ.get("SLURM_NODEID", "0") == "0":
        for run_dir in run_dirs:
            _break_dead_claim(run_dir, job)
    stopped_by = _train(run_dirs, launcher, root / "logs" / f"slurm-{job}")
    unfinished = [path for path in run_dirs if not RunPaths(path).record.exists()]
    if stopped_by == signal.SIGUSR2 and unfinished:
        _out_of_time(unfinished, launcher)
    if stopped_by is not None:
        return 75 if unfinished else 0
    return 1 if any(read_state(path).status != "running" for path in unfinished) else 0


def _assignment(task_file: Path) -> tuple[LauncherSpec, Path, list[Path]]:
    """This job's launcher settings, sweep and run directories.

    Raises:  RecordError: the file is missing or damaged; KeyError and the like: it is another's.
    """
    content: Any = read_json(task_file)
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    launcher = LauncherSpec(**content["launcher"])
    return launcher, Path(content["root"]), [Path(path) for path in content["jobs"][index]]


def _train(run_dirs: list[Path], launcher: LauncherSpec, log_dir: Path) -> int | None:
    """Train every run; returns the signal that cut it short, if any."""
    received: list[int] = []
    many = launcher.gpus > 1 or launcher.nodes > 1
    trainer = Ranks(launcher, log_dir) if many else _pool(run_dirs, launcher, log_dir)

    def stop(number: int) -> None:
        received.append(number)
        log.warning("%s: saving and stopping", signal.Signals(number).name)
        trainer.stop()

    with on_interrupt(stop, stop):
        trainer.run([Task(path) for path in run_dirs])
    return received[0] if received else None


def _pool(run_dirs: list[Path], launcher: LauncherSpec, log_dir: Path) -> Pool:
    """A pool of the job's own size: packed small runs, each in a warm worker."""
    devices = visible_devices(launcher) if launcher.gpus else []
    spec = LauncherSpec(
        workers=min(len(run_dirs), concurrency(launcher)),
        threads_per_worker=launcher.threads,
        runs_per_device=launcher.runs_per_gpu,
        affinity=False,
    )
    return Pool(make_slots(spec, usable_cores(), devices), log_dir, _report, launcher.hang_seconds)


def _report(task: Task, status: str, message: str) -> None:
    log.info("%s: %s %s", task.run_dir.name, status, message)


def _break_dead_claim(run_dir: Path, job: str) -> None:
    """Free a run from a holder that is known to be gone.

    Either the queue says so, or the holder was this very job before it was requeued: a job that
    begins anew has no living process of its former life.
    """
    held = holder(run_dir)
    if held is None:
        return
    queue = read_queue()
    jobs = None if queue is None else SlurmJobs(queue, {})
    former_self = held.job == job and job != "none"
    if former_self or is_lost(run_dir, held, jobs):
        log.info("%s: freed from %s, which is gone", run_dir.name, held.describe())
        RunPaths(run_dir).lock.unlink(missing_ok=True)


def _out_of_time(unfinished: list[Path], launcher: LauncherSpec) -> None:
    """Requeue this job to continue; after too many times, record its runs as timed out."""
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if restarts < launcher.max_requeues and _requeue():
        return
    reason = f"time limit reached {restarts + 1} times; retry with a longer time or more requeues"
    for run_dir in unfinished:
        append_status(run_dir, "timeout", message=reason)


def _requeue() -> bool:
    """Ask Slurm to put this job back into the queue, on its first node alone."""
    if os.environ.get("SLURM_PROCID", "0") != "0":
        return True
    job = slurm_job() or ""
    answer = subprocess.run(
        ["scontrol", "requeue", job], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        log.error("can't requeue job %s: %s", job, answer.stderr.strip())
    return answer.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
