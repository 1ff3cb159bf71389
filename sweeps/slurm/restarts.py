"""Jobs that come again: requeued by themselves, by a preemption, or after their node died.

Of its former lives a job finds locks, a count of the requeues that it asked for, and Slurm's count
of all its restarts.
"""

import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from sweeps.directory.run_state import is_lost
from sweeps.slurm.cluster import cluster_name
from sweeps.slurm.commands import SlurmError, output, persuade
from sweeps.slurm.squeue import read_queue
from sweeps.slurm.submissions import Owner, SlurmJobs
from train.engine.signals import held
from train.rundir.atomic import read_json, write_json
from train.rundir.lock import HEARTBEAT_SECONDS, heartbeat_age, holder, slurm_job, user_name
from train.rundir.record import RunPaths

SILENT_SECONDS = 2.5 * HEARTBEAT_SECONDS
"""A lock that is not touched for two beats and a half has no living holder."""

log = logging.getLogger(__name__)


def n_restarts() -> int:
    """How often Slurm started this job again, for any reason."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def break_dead_claims(run_dirs: list[Path], job: str, stopped: Callable[[], bool]) -> None:
    """Free runs from holders that are known to be gone.

    Slurm says so, or the holder's process or heartbeat; or it was this very job before Slurm
    started it again. Of that life no process is left, unless its node was only out of reach: a lock
    that is still being touched is left alone.
    """
    claims = {path: found for path in run_dirs if (found := holder(path)) is not None}
    if not claims:
        return
    queue = read_queue()
    me = Owner(user_name(), cluster_name())
    jobs = None if queue is None else SlurmJobs(queue, {}, asker=me)
    for run_dir, claim in claims.items():
        ours = claim.job == job and claim.cluster in ("", me.cluster)
        former_self = n_restarts() > 0 and ours and _falls_silent(run_dir, stopped)
        if former_self or is_lost(run_dir, claim, jobs):
            log.info("%s: freed from %s, which is gone", run_dir.name, claim.describe())
            RunPaths(run_dir).lock.unlink(missing_ok=True)


def _falls_silent(run_dir: Path, stopped: Callable[[], bool]) -> bool:
    """Whether a lock is touched no more, waiting for as long as two beats take."""
    age = heartbeat_age(run_dir)
    while age < SILENT_SECONDS and not stopped() and RunPaths(run_dir).lock.exists():
        time.sleep(1.0)
        before, age = age, heartbeat_age(run_dir)
        if age < before:
            return False
    return age >= SILENT_SECONDS


def n_requeues(folder: Path) -> int:
    """How often this job has requeued itself for lack of time.

    Raises:
        RecordError: The count can't be read.
    """
    path = _requeues_file(folder)
    return int(read_json(path)["n_requeues"]) if path.exists() else 0


def requeue_for_time(folder: Path) -> None:
    """Count a requeue for lack of time, and ask for it.

    Raises:
        SlurmError: Slurm will not, or can't be asked here.
    """
    write_json(_requeues_file(folder), {"n_requeues": n_requeues(folder) + 1})
    requeue()


def _requeues_file(folder: Path) -> Path:
    """Where a job counts its own requeues; Slurm's count has preemptions and dead nodes in it."""
    return folder / f"requeues-{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}.json"


def requeue() -> None:
    """Ask Slurm to put this job back into the queue.

    Raises:
        SlurmError: It will not, or can't be asked here.
    """
    # Slurm ends every process of the job as soon as it has agreed, scontrol before it can say so.
    with held():
        answer = persuade(["scontrol", "requeue", slurm_job() or ""])
    if answer.code is not None and answer.code < 0:
        return  # killed along with this job, which is over with any answer
    if not answer.ok:
        raise SlurmError(f"scontrol can't requeue job {slurm_job()}: {answer.reason}")


def was_preempted() -> bool:
    """Whether Slurm says that it preempts this job; a job that a person cancelled is not."""
    text = output(["scontrol", "show", "job", "--oneliner", slurm_job() or ""]) or ""
    fields = dict(word.split("=", 1) for word in text.split() if "=" in word)
    time_of_it, start = fields.get("PreemptTime", ""), fields.get("StartTime", "")
    # A time of a former life would make a job that a person cancels now come back.
    preempting = re.match(r"\d", time_of_it) is not None and time_of_it >= start
    return preempting or fields.get("JobState") == "PREEMPTED"
