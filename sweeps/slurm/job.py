"""What a Slurm job does: its share of a sweep, with an answer to every way a job can end.

SIGUSR2 comes `signal_seconds` before the time limit: the runs save, and the job requeues itself, at
most `max_requeues` times, then their status is timeout. SIGTERM is a cancellation or a preemption:
the runs save and the job ends; where the cluster preempts by requeueing, Slurm starts it again.
Every job of the array may come again: what is recorded is skipped, what was begun continues.
"""

import logging
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.directory.run_state import is_lost, read_state
from sweeps.launch.distributed import Ranks
from sweeps.launch.interrupts import on_interrupt
from sweeps.launch.pool import Pool
from sweeps.launch.scheduler import Task, task_of
from sweeps.plan.machine import make_slots, usable_cores, visible_devices
from sweeps.slurm.cluster import cluster_name
from sweeps.slurm.commands import SlurmError, persuade
from sweeps.slurm.resources import concurrency
from sweeps.slurm.squeue import read_queue
from sweeps.slurm.submissions import Owner, SlurmJobs
from sweeps.spec.launcher import LauncherSpec
from train.config.spec import IsoflopError
from train.engine.signals import held, release
from train.rundir.atomic import read_json, write_json
from train.rundir.lock import HEARTBEAT_SECONDS, heartbeat_age, holder, slurm_job, user_name
from train.rundir.record import RunPaths, append_status, read_job

SIGNAL_SECONDS = 5.0
"""How long a job whose runs ended early waits for the signal that may have ended them."""

SILENT_SECONDS = 2.5 * HEARTBEAT_SECONDS
"""A lock that is not touched for two beats and a half has no living holder."""

log = logging.getLogger(__name__)


@dataclass
class _Stop:
    """The signals that this job got so far, passed on to whatever trains."""

    received: list[int] = field(default_factory=list)
    trainer: Pool | Ranks | None = None

    def note(self, number: int) -> None:
        self.received.append(number)
        log.warning("%s: saving and stopping", signal.Signals(number).name)
        if self.trainer is not None:
            self.trainer.stop()

    def train(self, trainer: Pool | Ranks, tasks: list[Task]) -> None:
        """Have every task trained, unless told to stop before or meanwhile."""
        self.trainer = trainer
        if not self.received:
            trainer.run(tasks)

    def cause(self) -> int | None:
        """The signal that cut the runs short, or None.

        Slurm signals the processes of a job one after the other, so that a run may have saved and
        ended before this process is told.
        """
        deadline = time.monotonic() + SIGNAL_SECONDS
        while not self.received and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.received[0] if self.received else None


def main(argv: list[str] | None = None) -> int:
    """Train one job's runs; exit status 0 done, 75 stopped before the end, 1 failures."""
    arguments = sys.argv[1:] if argv is None else argv
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    stop = _Stop()
    with on_interrupt(stop.note, stop.note):
        release()
        try:
            task_file = Path(arguments[0])
            launcher, root, run_dirs = _assignment(task_file)
        except (IsoflopError, IndexError, KeyError, TypeError, ValueError) as error:
            print(f"sweeps.slurm.job_main: {error}", file=sys.stderr)
            return 2
        return _train(run_dirs, launcher, root, task_file.parent, stop)


def _train(
    run_dirs: list[Path], launcher: LauncherSpec, root: Path, folder: Path, stop: _Stop
) -> int:
    """Train every run of this job, and answer the signal that cut it short, if one did."""
    job = slurm_job() or "none"
    if _leads():
        _break_dead_claims(run_dirs, job, stop)
    problem = ""
    try:
        trainer = _trainer(run_dirs, launcher, root / "logs" / f"slurm-{job}")
        stop.train(trainer, [_task(path) for path in run_dirs])
    except IsoflopError as error:
        problem = str(error)
        log.error("%s", problem)
    unfinished = [path for path in run_dirs if not RunPaths(path).record.exists()]
    if not unfinished:
        return 0
    if not _leads():
        return 75 if stop.received else 0
    cause = stop.cause()
    if cause == signal.SIGUSR2:
        _out_of_time(unfinished, launcher, folder)
    if cause is not None:
        return 75
    if problem:
        _mark([path for path in unfinished if read_state(path).status != "running"], problem)
    return 1 if any(read_state(path).status != "running" for path in unfinished) else 0


def _leads() -> bool:
    """Whether this is the one process of a job over several nodes that speaks for all."""
    return os.environ.get("SLURM_PROCID", "0") == "0"


def _assignment(task_file: Path) -> tuple[LauncherSpec, Path, list[Path]]:
    """This job's launcher settings, sweep and run directories.

    Raises:  RecordError: the file is missing or damaged; KeyError and the like: it is another's.
    """
    content: Any = read_json(task_file)
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    launcher = LauncherSpec(**content["launcher"])
    return launcher, Path(content["root"]), [Path(path) for path in content["jobs"][index]]


def _task(run_dir: Path) -> Task:
    """A run as its spec says; one that can't be read is tried too, and fails with its reason."""
    try:
        return task_of(run_dir, read_job(run_dir))
    except IsoflopError:
        return Task(run_dir)


def _trainer(run_dirs: list[Path], launcher: LauncherSpec, log_dir: Path) -> Pool | Ranks:
    """One run at a time over many devices or nodes, or a pool of small runs side by side."""
    many = launcher.gpus > 1 or launcher.nodes > 1
    return Ranks(launcher, log_dir) if many else _pool(run_dirs, launcher, log_dir)


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


def _break_dead_claims(run_dirs: list[Path], job: str, stop: _Stop) -> None:
    """Free runs from holders that are known to be gone.

    Slurm says so, or the holder's process or heartbeat; or it was this very job before Slurm
    started it again. Of that life no process is left, unless its node was only out of reach: a lock
    that is still being touched is left alone.
    """
    claims = {path: held for path in run_dirs if (held := holder(path)) is not None}
    if not claims:
        return
    queue = read_queue()
    me = Owner(user_name(), cluster_name())
    jobs = None if queue is None else SlurmJobs(queue, {}, asker=me)
    restarted = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
    for run_dir, held in claims.items():
        ours = held.job == job and held.cluster in ("", me.cluster)
        former_self = restarted and ours and _falls_silent(run_dir, stop)
        if former_self or is_lost(run_dir, held, jobs):
            log.info("%s: freed from %s, which is gone", run_dir.name, held.describe())
            RunPaths(run_dir).lock.unlink(missing_ok=True)


def _falls_silent(run_dir: Path, stop: _Stop) -> bool:
    """Whether a lock is touched no more, waiting for as long as two beats take."""
    age = heartbeat_age(run_dir)
    while age < SILENT_SECONDS and not stop.received and RunPaths(run_dir).lock.exists():
        time.sleep(1.0)
        before, age = age, heartbeat_age(run_dir)
        if age < before:
            return False
    return age >= SILENT_SECONDS


def _out_of_time(unfinished: list[Path], launcher: LauncherSpec, folder: Path) -> None:
    """Requeue this job to continue; after too many times, record its runs as timed out."""
    limit = "time limit reached {} times; retry with a longer time or more requeues"
    try:
        n_requeues = _n_requeues(folder)
        if n_requeues >= launcher.max_requeues:
            _mark(unfinished, limit.format(n_requeues + 1), "timeout")
            return
        write_json(_requeues_file(folder), {"n_requeues": n_requeues + 1})
        _requeue()
    except IsoflopError as error:
        log.error("%s", error)
        _mark(unfinished, f"time limit reached; {error}", "timeout")


def _requeues_file(folder: Path) -> Path:
    """Where a job counts its own requeues; Slurm's count has preemptions and dead nodes in it."""
    return folder / f"requeues-{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}.json"


def _n_requeues(folder: Path) -> int:
    """How often this job has requeued itself for lack of time.

    Raises:  RecordError: the count can't be read.
    """
    path = _requeues_file(folder)
    return int(read_json(path)["n_requeues"]) if path.exists() else 0


def _requeue() -> None:
    """Ask Slurm to put this job back into the queue.

    Raises:  SlurmError: it will not.
    """
    # Slurm ends every process of the job as soon as it has agreed, scontrol before it can say so.
    with held():
        answer = persuade(["scontrol", "requeue", slurm_job() or ""])
    if answer.code is not None and answer.code < 0:
        return  # killed along with this job, which is over whatever the answer would have been
    if not answer.ok:
        raise SlurmError(f"scontrol can't requeue job {slurm_job()}: {answer.reason}")


def _mark(run_dirs: list[Path], message: str, status: str = "failed") -> None:
    for run_dir in run_dirs:
        try:
            append_status(run_dir, status, message=message)
        except IsoflopError as error:
            log.error("%s", error)


if __name__ == "__main__":
    sys.exit(main())
