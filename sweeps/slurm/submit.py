"""The Slurm launcher: runs grouped by need, submitted as arrays, detached.

A job runs `python -m sweeps.slurm.job_main` on a JSON file of run directories: nothing is
pickled. The script is `sweeps.slurm.script`'s; what a job does about signals is
`sweeps.slurm.job`'s affair.
"""

import fcntl
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sweeps.directory.layout import SweepPaths
from sweeps.launch.scheduler import Task
from sweeps.slurm.commands import SlurmError, ask
from sweeps.slurm.resources import Batch, batches
from sweeps.slurm.script import sbatch_script
from sweeps.slurm.squeue import read_queue
from sweeps.slurm.submissions import SUBMITTED, queued_runs, submissions
from sweeps.spec.launcher import LauncherSpec
from train.rundir.atomic import write_atomic, write_json

ARRAY_LIMIT = 1000
"""Jobs an array; Slurm's default MaxArraySize is 1001."""

TASKS, SCRIPT = "tasks.json", "script.sh"


@dataclass(frozen=True)
class Submission:
    """One array: its job id, its batch of equal resources, and its folder of lists and logs."""

    job: str
    batch: Batch
    folder: Path


def submit(
    tasks: list[Task],
    launcher: LauncherSpec,
    root: Path,
    name: str,
    scale_time: float = 1.0,
    scale_memory: float = 1.0,
) -> tuple[list[Submission], int]:
    """Submit every task that no job in the queue already has; returns arrays and how many were.

    Raises:  SlurmError: no Slurm here, or sbatch refused.
    """
    paths = SweepPaths(root)
    with _submitting(paths.slurm):
        queue = read_queue()
        if queue is None:
            raise SlurmError(
                "squeue does not answer; run launcher=slurm where Slurm's commands work (a login "
                "node), or use launcher=pool here"
            )
        queued = queued_runs(root, queue)
        fresh = [task for task in tasks if str(task.run_dir.resolve()) not in queued]
        made = []
        for batch in batches(fresh, launcher, scale_time, scale_memory):
            for part in batch.arrays(ARRAY_LIMIT):
                made.append(_submit_array(part, launcher, paths, name))
        return made, len(tasks) - len(fresh)


def scripts(
    tasks: list[Task],
    launcher: LauncherSpec,
    root: Path,
    name: str,
    scale_time: float = 1.0,
    scale_memory: float = 1.0,
) -> list[tuple[Batch, str]]:
    """The sbatch scripts that `submit` would submit, for launcher.dry_run; nothing is written."""
    folder = SweepPaths(root).slurm.resolve() / "SUBMISSION"
    return [
        (part, sbatch_script(part, launcher, name, folder, folder / TASKS))
        for batch in batches(tasks, launcher, scale_time, scale_memory)
        for part in batch.arrays(ARRAY_LIMIT)
    ]


def cancel(root: Path) -> list[str]:
    """Cancel every job of a sweep that is in the queue; returns their ids."""
    queue = read_queue()
    if queue is None:
        return []
    jobs = [row["job"] for row in submissions(root)]
    alive = [job for job in jobs if queue.has_array(job)]
    if alive:
        answer = ask(["scancel", *alive])
        if not answer.ok:
            raise SlurmError(f"scancel failed: {answer.reason}")
    return alive


def _submit_array(batch: Batch, launcher: LauncherSpec, paths: SweepPaths, name: str) -> Submission:
    """Write the list of runs, submit the array, and note its job id; each array has a folder."""
    ticket = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
    folder = paths.slurm.resolve() / ticket
    jobs = [[str(task.run_dir.resolve()) for task in job] for job in batch.jobs]
    script = sbatch_script(batch, launcher, name, folder, folder / TASKS)
    assignment = {"launcher": asdict(launcher), "root": str(paths.root.resolve()), "jobs": jobs}
    write_json(folder / TASKS, assignment)
    write_atomic(folder / SCRIPT, script)
    answer = ask(["sbatch", str(folder / SCRIPT)])
    accepted = re.search(r"job (\d+)", answer.stdout) if answer.ok else None
    if accepted is None:
        shutil.rmtree(folder, ignore_errors=True)
        raise SlurmError(f"sbatch refused: {answer.reason}")
    write_json(folder / SUBMITTED, {"job": accepted[1], "jobs": jobs})
    return Submission(accepted[1], batch, folder)


@contextmanager
def _submitting(folder: Path) -> Iterator[None]:
    """One submission at a time for a sweep, so that two shells don't submit the same runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".submitting").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
