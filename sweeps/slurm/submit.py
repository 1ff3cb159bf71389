"""The Slurm launcher: runs grouped by need, submitted as arrays, detached.

A job runs `python -m sweeps.slurm.job_main` on a JSON file of run directories: nothing is
pickled. The script is `sweeps.slurm.script`'s; what a job does about signals is
`sweeps.slurm.job`'s affair.
"""

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sweeps.launch.scheduler import QueuedRun
from sweeps.slurm.cluster import array_limit
from sweeps.slurm.commands import SlurmError, persuade
from sweeps.slurm.launches import Launch
from sweeps.slurm.limits import fitted, job_limits, partitions
from sweeps.slurm.resources import Batch, batches
from sweeps.slurm.sbatch import RefusedError, sbatch
from sweeps.slurm.script import sbatch_script
from sweeps.slurm.squeue import read_queue
from sweeps.slurm.submissions import (
    ASKED,
    SUBMITTED,
    SlurmJobs,
    in_jobs,
    jobs_in,
    recover,
    submissions,
)
from sweeps.spec.launcher import LauncherSpec
from train.rundir.atomic import write_atomic, write_json
from train.rundir.lock import user_name
from train.rundir.mutex import exclusive
from train.rundir.sweep_layout import SweepPaths

TASKS, SCRIPT = "tasks.json", "script.sh"


@dataclass(frozen=True)
class Submission:
    """One array: its job id, its batch of equal resources, and its folder of lists and logs."""

    job: str
    batch: Batch
    folder: Path


@dataclass(frozen=True)
class Submitted:
    """What became of a submission.

    `n_queued` runs were in the queue already, and `elsewhere` maps those whose jobs can't be asked
    about from here to what is known of them. `notes` say what jobs ask for beyond what their
    partition has. `problem` says why `n_left` runs were not submitted after others had been.
    """

    arrays: list[Submission]
    n_queued: int = 0
    elsewhere: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    n_left: int = 0
    problem: str = ""


def submit(
    tasks: list[QueuedRun],
    launcher: LauncherSpec,
    root: Path,
    name: str,
    scale_time: float = 1.0,
    scale_memory: float = 1.0,
    force: bool = False,
) -> Submitted:
    """Submit every task that no job in the queue already has.

    Args:
        force: Submit also those runs that are in jobs of another cluster or hidden jobs of another
            user, which may still be in a queue.

    Raises:
        SlurmError: No Slurm here, or nothing could be submitted.
    """
    paths = SweepPaths(root)
    with _submitting(paths.slurm):
        recover(root)
        rows = submissions(root)
        jobs = _jobs(rows)
        queued = in_jobs(rows, jobs, alive=True)
        hidden = {} if force else in_jobs(rows, jobs, alive=None)
        fresh, elsewhere = [], {}
        for task in tasks:
            run_dir = str(task.run_dir.resolve())
            if run_dir in hidden and run_dir not in queued:
                elsewhere[run_dir] = jobs.out_of_sight(hidden[run_dir].partition("_")[0])
            elif run_dir not in queued:
                fresh.append(task)
        n_queued = len(tasks) - len(fresh) - len(elsewhere)
        parts, notes = _parts(fresh, launcher, scale_time, scale_memory)
        launch = Launch(paths.slurm.resolve(), uuid.uuid4().hex[:8])
        launch.write(name, _runs(parts))
        made, problem = _submit_all(parts, launcher, paths, name, launch)
        n_left = len(fresh) - sum(len(job) for array in made for job in array.batch.jobs)
        return Submitted(made, n_queued, elsewhere, notes, n_left, problem)


def scripts(
    tasks: list[QueuedRun],
    launcher: LauncherSpec,
    root: Path,
    name: str,
    scale_time: float = 1.0,
    scale_memory: float = 1.0,
) -> tuple[list[tuple[Batch, str]], list[str]]:
    """The sbatch scripts that `submit` would submit, for launcher.dry_run, and its notes.

    Nothing is written.
    """
    folder = SweepPaths(root).slurm.resolve() / "SUBMISSION"
    parts, notes = _parts(tasks, launcher, scale_time, scale_memory)
    return [
        (part, sbatch_script(part, launcher, _job_name(name, folder), folder, folder / TASKS))
        for part in parts
    ], notes


def cancel(root: Path) -> list[str]:
    """Cancel every job of a sweep that is in the queue; returns their arrays' ids.

    Raises:
        SlurmError: There are jobs, and Slurm does not answer or refuses.
    """
    recover(root)
    rows = submissions(root)
    if not rows:
        return []
    jobs = _jobs(rows)
    alive = [
        row["job"]
        for row in rows
        if any(jobs.alive(f"{row['job']}_{index}") for index in range(len(row["jobs"])))
    ]
    if alive:
        answer = persuade(["scancel", *alive])
        if not answer.ok:
            raise SlurmError(f"scancel failed: {answer.reason}")
    return alive


def _jobs(rows: list[dict]) -> SlurmJobs:
    queue = read_queue()
    if queue is None:
        raise SlurmError(
            "squeue does not answer; run this where Slurm's commands work (a login node), or use "
            "launcher=pool here"
        )
    return jobs_in(queue, rows)


def _parts(
    tasks: list[QueuedRun], launcher: LauncherSpec, scale_time: float, scale_memory: float
) -> tuple[list[Batch], list[str]]:
    """Batches of equal needs, each cut into arrays that the cluster takes, and notes on limits."""
    if not tasks:
        return [], []
    limit, allowed = array_limit(), partitions(launcher.partition)
    limited = job_limits(launcher)
    parts, notes = [], []
    for batch in batches(tasks, launcher, scale_time, scale_memory):
        batch, note = fitted(batch, launcher, allowed, limited)
        notes += [note] if note else []
        parts += batch.arrays(limit)
    return parts, list(dict.fromkeys(notes))


def _runs(parts: list[Batch]) -> list[str]:
    return [str(task.run_dir.resolve()) for part in parts for job in part.jobs for task in job]


def _submit_all(
    parts: list[Batch], launcher: LauncherSpec, paths: SweepPaths, name: str, launch: Launch
) -> tuple[list[Submission], str]:
    """Submit arrays until one fails; that is an error only where it is the first.

    A limit on a user's jobs lets the first arrays in and refuses the next.
    """
    made: list[Submission] = []
    for part in parts:
        try:
            made.append(_submit_array(part, launcher, paths, name, launch))
        except SlurmError as error:
            if not made:
                launch.listing.unlink(missing_ok=True)
                raise
            launch.write(name, _runs([array.batch for array in made]))
            return made, str(error)
    return made, ""


def _submit_array(
    batch: Batch, launcher: LauncherSpec, paths: SweepPaths, name: str, launch: Launch
) -> Submission:
    """Write the list of runs, submit the array, and note its job id; each array has a folder.

    The folder stays unless sbatch said no: a job that was accepted without a word needs it.
    """
    folder = paths.slurm.resolve() / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
    job_name = _job_name(name, folder)
    script = sbatch_script(batch, launcher, job_name, folder, folder / TASKS)
    jobs = [[str(task.run_dir.resolve()) for task in job] for job in batch.jobs]
    root = str(paths.directory.resolve())
    settings = {"launcher": asdict(launcher), "root": root, "launch": launch.ticket}
    asked = {"name": job_name, "user": user_name(), "jobs": jobs}
    write_json(folder / TASKS, {**settings, "jobs": jobs})
    write_atomic(folder / SCRIPT, script)
    write_json(folder / ASKED, asked)
    try:
        accepted = sbatch(folder / SCRIPT, job_name)
    except RefusedError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    write_json(folder / SUBMITTED, {**asked, **asdict(accepted)})
    return Submission(accepted.job, batch, folder)


def _job_name(name: str, folder: Path) -> str:
    """The sweep's name and the folder's own ending, by which squeue finds just this array.

    squeue takes a comma for the end of a name.
    """
    return f"{name.replace(',', '-')}.{folder.name.rpartition('-')[2]}"


@contextmanager
def _submitting(folder: Path) -> Iterator[None]:
    """One submission at a time for a sweep, so that two shells don't submit the same runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / ".submitting"):
        yield
