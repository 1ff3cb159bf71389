"""What a Slurm job does: its share of a sweep, with an answer to every way a job can end.

SIGUSR2 comes `signal_seconds` before the time limit: the runs save, and the job requeues itself, at
most `max_requeues` times, then their status is timeout. SIGTERM is a cancellation or a preemption:
the runs save and the job ends; a preempted one comes back, at most `max_restarts` times.
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

from sweeps.directory.run_state import read_state
from sweeps.launch.distributed import Ranks
from sweeps.launch.failures import GaveUpError, SharedStreak
from sweeps.launch.interrupts import on_interrupt
from sweeps.launch.pool import Pool
from sweeps.launch.scheduler import QueuedRun, task_of
from sweeps.plan.machine import make_slots, usable_cores, visible_devices
from sweeps.slurm.launches import Launch
from sweeps.slurm.resources import concurrency
from sweeps.slurm.restarts import (
    break_dead_claims,
    n_requeues,
    n_restarts,
    requeue,
    requeue_for_time,
    was_preempted,
)
from sweeps.spec.launcher import LauncherSpec
from train.commands.terminal import say
from train.config.spec import IsoflopError
from train.engine.signals import release
from train.rundir.atomic import read_json
from train.rundir.lock import slurm_job
from train.rundir.record import RunPaths, append_status, read_job

SIGNAL_SECONDS = 5.0
"""How long a job whose runs ended early waits for the signal that may have ended them."""

FAILED = ("failed", "oom", "timeout")

log = logging.getLogger(__name__)


@dataclass
class _Stop:
    """The signals that this job got so far, passed on to the process that trains."""

    received: list[int] = field(default_factory=list)
    trainer: Pool | Ranks | None = None

    def note(self, number: int) -> None:
        self.received.append(number)
        log.warning("%s: saving and stopping", signal.Signals(number).name)
        if self.trainer is not None:
            self.trainer.stop()

    def train(self, trainer: Pool | Ranks, tasks: list[QueuedRun]) -> None:
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
            launcher, root, run_dirs, launch = _assignment(task_file)
        except (IsoflopError, IndexError, KeyError, TypeError, ValueError) as error:
            say(f"sweeps.slurm.job_main: {error}", sys.stderr)
            return 2
        code = _train(run_dirs, launcher, root, launch, task_file.parent, stop)
        if _leads():
            launch.finish(launcher, root)
        return code


def _train(
    run_dirs: list[Path],
    launcher: LauncherSpec,
    root: Path,
    launch: Launch,
    folder: Path,
    stop: _Stop,
) -> int:
    """Train every run of this job, and answer the signal that cut it short, if one did."""
    job = slurm_job() or "none"
    status, problem = _obstacle(launcher, folder, launch)
    if problem:
        return _leave(run_dirs, status, problem)
    if _leads():
        break_dead_claims(run_dirs, job, lambda: bool(stop.received))
    try:
        streak = launch.streak(launcher)
        trainer = _trainer(run_dirs, launcher, root / "logs" / f"slurm-{job}", streak)
        stop.train(trainer, [_task(path) for path in run_dirs])
    except GaveUpError as error:
        return _leave(run_dirs, "planned", f"not started: {error}")
    except IsoflopError as error:
        problem = str(error)
    unfinished = [path for path in run_dirs if not RunPaths(path).record.exists()]
    if not unfinished:
        return 0
    if not _leads():
        return 75 if stop.received else 0
    cause = stop.cause()
    if cause == signal.SIGUSR2:
        _out_of_time(unfinished, launcher, folder)
    elif cause == signal.SIGTERM:
        _preempted()
    if cause is not None:
        return 75
    if problem:
        return _leave(run_dirs, "failed", problem)
    return 1 if any(read_state(path).status != "running" for path in unfinished) else 0


def _leave(run_dirs: list[Path], status: str, reason: str) -> int:
    """Say of every run that this job did not train why that is; returns the job's exit status.

    What a run said of itself stays where the reason is of the launch and not of the run.
    """
    log.error("%s", reason)
    changed = ("planned", "preempted") if status == "planned" else ("planned", "preempted", *FAILED)
    idle = [path for path in run_dirs if not RunPaths(path).record.exists()]
    if _leads():
        _mark([path for path in idle if read_state(path).status in changed], reason, status)
    return 1 if idle else 0


def _leads() -> bool:
    """Whether this is the one process of a job over several nodes that speaks for all."""
    return os.environ.get("SLURM_PROCID", "0") == "0"


def _assignment(task_file: Path) -> tuple[LauncherSpec, Path, list[Path], Launch]:
    """This job's launcher settings, sweep, run directories and launch.

    Raises:  RecordError: the file is missing or damaged; KeyError and the like: it is another's.
    """
    content: Any = read_json(task_file)
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    launcher = LauncherSpec(**content["launcher"])
    launch = Launch(task_file.parent.parent, str(content.get("launch", "")))
    run_dirs = [Path(path) for path in content["jobs"][index]]
    return launcher, Path(content["root"]), run_dirs, launch


def _task(run_dir: Path) -> QueuedRun:
    """A run as its spec says; one that can't be read is tried too, and fails with its reason."""
    try:
        return task_of(run_dir, read_job(run_dir))
    except IsoflopError:
        return QueuedRun(run_dir)


def _trainer(
    run_dirs: list[Path], launcher: LauncherSpec, log_dir: Path, streak: SharedStreak
) -> Pool | Ranks:
    """One run at a time over many devices or nodes, or a pool of small runs side by side."""
    if launcher.gpus > 1 or launcher.nodes > 1:
        return Ranks(launcher, log_dir, ended=streak.note if _leads() else None)
    return _pool(run_dirs, launcher, log_dir, streak)


def _pool(
    run_dirs: list[Path], launcher: LauncherSpec, log_dir: Path, streak: SharedStreak
) -> Pool:
    """A pool of the job's own size: packed small runs, each in a warm worker."""
    devices = visible_devices(launcher) if launcher.gpus else []
    spec = LauncherSpec(
        workers=min(len(run_dirs), concurrency(launcher)),
        threads_per_worker=launcher.threads,
        runs_per_device=launcher.runs_per_gpu,
        affinity=False,
    )
    slots = make_slots(spec, usable_cores(), devices)
    return Pool(slots, log_dir, _report, launcher.hang_seconds, ended=streak.note)


def _report(task: QueuedRun, status: str, message: str) -> None:
    log.info("%s: %s %s", task.run_dir.name, status, message)


def _out_of_time(unfinished: list[Path], launcher: LauncherSpec, folder: Path) -> None:
    """Requeue this job to continue; after too many times, record its runs as timed out."""
    limit = "time limit reached {} times; retry with a longer time or more requeues"
    try:
        if (n := n_requeues(folder)) >= launcher.max_requeues:
            _mark(unfinished, limit.format(n + 1), "timeout")
            return
        requeue_for_time(folder)
    except IsoflopError as error:
        log.error("%s", error)
        _mark(unfinished, f"time limit reached; {error}", "timeout")


def _preempted() -> None:
    """Come back after a preemption, also where the cluster preempts by cancelling.

    Where it preempts by requeueing, Slurm does so itself and refuses a second time. How often a job
    may come back is checked when it does.
    """
    try:
        if was_preempted():
            requeue()
    except IsoflopError as error:
        log.warning("preempted, and not requeued by this job: %s", error)


def _obstacle(launcher: LauncherSpec, folder: Path, launch: Launch) -> tuple[str, str]:
    """(status, reason) of the runs of a job that should not train; "" where it should.

    A run that takes its node down each time would do so forever: Slurm sets no limit of its own.
    """
    if reason := launch.streak(launcher).reason():
        return "planned", f"not started: {reason}"
    try:
        n_lost = n_restarts() - n_requeues(folder)
    except IsoflopError:
        n_lost = 0
    if n_lost > launcher.max_restarts:
        return "failed", (
            f"its job was started again {n_lost} times after preemptions or dead nodes "
            f"(launcher.max_restarts={launcher.max_restarts}); retry begins a new count"
        )
    return "", ""


def _mark(run_dirs: list[Path], message: str, status: str = "failed") -> None:
    for run_dir in run_dirs:
        try:
            append_status(run_dir, status, message=message)
        except IsoflopError as error:
            log.error("%s", error)


if __name__ == "__main__":
    sys.exit(main())
