"""What became of Slurm jobs: the submissions, the queue, the accounting and the logs of a sweep."""

import contextlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sweeps.directory.run_state import tail
from sweeps.slurm.squeue import Queue, read_past, read_queue
from train.rundir.sweep_layout import SweepPaths

SUBMITTED = "submitted.json"

OUT_OF_MEMORY = re.compile(r"exceeded (job |step )?memory limit|oom.?kill|out.of.memory", re.I)
"""slurmstepd's words for it. A job that it kills for its memory is not always OUT_OF_MEMORY: with
OverMemoryKill, or where only a step of it dies, it is FAILED."""


@dataclass(frozen=True)
class SlurmJobs:
    """What Slurm knows of a sweep's jobs: its queue, the newest job of every run directory, and the
    folder of every array's logs.
    """

    queue: Queue
    newest: dict[str, str]
    folders: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def past(self) -> Queue:
        """Slurm's accounting of the jobs that squeue has forgotten, asked once and at need only."""
        forgotten = (job for job in self.newest.values() if not self.queue.knows(job))
        return read_past({job.partition("_")[0] for job in forgotten})

    def alive(self, job: str) -> bool | None:
        return self.queue.has(job)

    def of_run(self, run_dir: Path) -> str | None:
        return self.newest.get(run_dir.name)

    def ending(self, job: str) -> str:
        ending = self._listing(job).ending(job)
        killed = any(OUT_OF_MEMORY.search(line) for line in self._said(job))
        return "oom" if ending == "failed" and killed else ending

    def describe(self, job: str) -> str:
        text = self._listing(job).describe(job)
        said = [] if self.alive(job) else self._said(job)
        return f"{text}, {said[-1]}" if said else text

    def _listing(self, job: str) -> Queue:
        return self.queue if self.queue.knows(job) else self.past

    def _said(self, job: str) -> list[str]:
        """What Slurm itself wrote at the end of a job's log, without its name for the node."""
        array, _, index = job.partition("_")
        if array not in self.folders:
            return []
        log = tail(self.folders[array] / f"{array}_{index}_0_log.out").decode(errors="replace")
        return re.findall(r"^slurmstepd\S*: (?:error: )?(.+)$", log, re.MULTILINE)


def jobs_of(root: Path) -> SlurmJobs | None:
    """A sweep's Slurm jobs; None where it has none or squeue does not answer."""
    rows = submissions(root)
    if not rows:
        return None
    queue = read_queue()
    if queue is None:
        return None
    newest = {
        Path(run_dir).name: f"{row['job']}_{index}"
        for row in rows
        for index, run_dirs in enumerate(row["jobs"])
        for run_dir in run_dirs
    }
    return SlurmJobs(queue, newest, {row["job"]: row["folder"] for row in rows})


def queued_runs(root: Path, queue: Queue) -> dict[str, str]:
    """Resolved run directory -> the job in the queue that has it, by the sweep's submissions."""
    found = {}
    for row in submissions(root):
        for index, run_dirs in enumerate(row["jobs"]):
            job = f"{row['job']}_{index}"
            if queue.has(job):
                found.update(dict.fromkeys(run_dirs, job))
    return found


def submissions(root: Path) -> list[dict[str, Any]]:
    """What was submitted for a sweep, oldest first.

    Each has `job`, the array's id, `jobs`, the run directories of each of its jobs, and `folder`.
    """
    found = []
    for path in sorted(SweepPaths(root).slurm.glob(f"*/{SUBMITTED}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            row = json.loads(path.read_text(encoding="utf-8"))
            jobs = [list(map(str, job)) for job in row["jobs"]]
            found.append({"job": str(row["job"]), "jobs": jobs, "folder": path.parent})
    return found
