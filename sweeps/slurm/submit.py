"""The Slurm launcher: runs grouped by need, submitted as arrays through submitit, detached.

A job runs `python -m sweeps.slurm.job_main` on a JSON file of run directories: nothing is
pickled. submitit writes the sbatch script and submits it; what a job does about signals is
`sweeps.slurm.job`'s affair.
"""

import fcntl
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeps.launch.scheduler import Task
from sweeps.slurm.resources import Batch, batches
from sweeps.slurm.squeue import read_queue
from sweeps.slurm.submissions import SUBMITTED, queued_runs, submissions
from sweeps.spec.launcher import LauncherSpec, one_line
from train.config.spec import IsoflopError
from train.rundir.atomic import write_json
from train.rundir.sweep_layout import SweepPaths

ARRAY_LIMIT = 1000
"""Jobs an array; Slurm's default MaxArraySize is 1001."""

FELLOW_SECONDS = 600
"""How long a job's other nodes may go on once one of them has ended."""

TASKS = "tasks.json"


class SlurmError(IsoflopError):
    """Slurm is not there, or refused a submission."""


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
    from submitit.slurm.slurm import _make_sbatch_string

    folder = SweepPaths(root).slurm.resolve() / "SUBMISSION"
    return [
        (
            part,
            _make_sbatch_string(
                command=_command(folder / TASKS),
                folder=folder,
                map_count=len(part.jobs),
                **_parameters(part, launcher, name),
            ),
        )
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
        _run(["scancel", *alive])
    return alive


def _submit_array(batch: Batch, launcher: LauncherSpec, paths: SweepPaths, name: str) -> Submission:
    """Write the list of runs, submit the array, and note its job id; each array has a folder."""
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    ticket = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
    folder = paths.slurm.resolve() / ticket
    jobs = [[str(task.run_dir.resolve()) for task in job] for job in batch.jobs]
    assignment = {"launcher": asdict(launcher), "root": str(paths.root.resolve()), "jobs": jobs}
    write_json(folder / TASKS, assignment)
    try:
        executor = submitit.SlurmExecutor(folder=folder)
        executor.update_parameters(**_parameters(batch, launcher, name))
        executor.parameters["map_count"] = len(batch.jobs)
        job = executor._submit_command(_command(folder / TASKS))
    except (RuntimeError, ValueError, FailedJobError, FailedSubmissionError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SlurmError(f"sbatch refused: {_last_words(error)}") from error
    write_json(folder / SUBMITTED, {"job": str(job.job_id), "jobs": jobs})
    return Submission(str(job.job_id), batch, folder)


def _parameters(batch: Batch, launcher: LauncherSpec, name: str) -> dict[str, Any]:
    """submitit's keywords for one array.

    Raises:  SpecError: a name of several lines, which would be lines of the script.
    """
    one_line("sweep.name", name)
    given = {
        "job_name": name,
        "time": batch.minutes,
        "mem": f"{1024 * batch.mem_gb:.0f}MB",
        "cpus_per_task": batch.cpus,
        "nodes": launcher.nodes,
        "ntasks_per_node": 1,
        "gpus_per_node": batch.gpus or None,
        "array_parallelism": launcher.max_parallel,
        "signal_delay_s": launcher.signal_seconds,
        "stderr_to_stdout": True,
        "srun_args": [f"--cpus-per-task={batch.cpus}", *_fellow_nodes(launcher)],
        "setup": _setup(launcher) or None,
        "additional_parameters": {"requeue": True, **launcher.extra},
    }
    for key in ("partition", "account", "qos", "constraint"):
        given[key] = getattr(launcher, key)
    return {key: value for key, value in given.items() if value is not None}


def _fellow_nodes(launcher: LauncherSpec) -> list[str]:
    """Let no node wait forever for one that has ended, yet long enough for the first to save."""
    return [f"--wait={FELLOW_SECONDS}"] if launcher.nodes > 1 else []


def _setup(launcher: LauncherSpec) -> list[str]:
    exports = [f"export {key}={shlex.quote(value)}" for key, value in launcher.env.items()]
    return [*exports, *launcher.setup]


def _command(task_file: Path) -> str:
    return shlex.join([sys.executable, "-u", "-m", "sweeps.slurm.job_main", str(task_file)])


@contextmanager
def _submitting(folder: Path) -> Iterator[None]:
    """One submission at a time for a sweep, so that two shells don't submit the same runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".submitting").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str]) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SlurmError(f"{command[0]} failed: {answer.stderr.strip() or answer.returncode}")


def _last_words(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    refused = [line for line in lines if "error" in line.lower()]
    return (refused or lines or [type(error).__name__])[-1]
