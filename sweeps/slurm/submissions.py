"""What became of Slurm jobs: the submissions, the queue, the accounting and the logs of a sweep."""

import contextlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sweeps.directory.layout import SweepPaths
from sweeps.directory.run_state import tail
from sweeps.slurm.cluster import cluster_name
from sweeps.slurm.sbatch import find
from sweeps.slurm.squeue import Queue, read_jobs, read_past, read_queue
from train.config.spec import IsoflopError
from train.rundir.atomic import write_json
from train.rundir.lock import owner_of, user_name
from train.rundir.record import RunPaths

ASKED, SUBMITTED = "asked.json", "submitted.json"
"""What sbatch was asked for, written ahead of it, and the same with the job's id after it."""

OUT_OF_MEMORY = re.compile(r"exceeded (job |step )?memory limit|oom.?kill|out.of.memory", re.I)
"""slurmstepd's words for it. A job that it kills for its memory is not always OUT_OF_MEMORY: with
OverMemoryKill, or where only a step of it dies, it is FAILED."""


@dataclass(frozen=True)
class Owner:
    """Whose a job is, and of which cluster; "" is not known (and taken for this one's)."""

    user: str = ""
    cluster: str = ""


@dataclass(frozen=True)
class SlurmJobs:
    """What Slurm knows of a sweep's jobs: its queue, the newest job of every run directory, the
    folder of every array's logs and its owner, and who asks.
    """

    queue: Queue
    newest: dict[str, str]
    folders: dict[str, Path] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    asker: Owner = Owner()
    _by_id: dict[str, Queue | None] = field(default_factory=dict, compare=False)

    @cached_property
    def past(self) -> Queue:
        """Slurm's accounting of the jobs that squeue has forgotten, asked once and at need only."""
        return read_past({_array(job) for job in self._forgotten()})

    def alive(self, job: str, user: str = "", cluster: str = "") -> bool | None:
        """Whether a job is pending or running; None where that can't be told from here.

        A job that is not listed is asked for by its id. Slurm hides no user's own jobs, so one of
        this user's that it does not know is gone; another user's may be hidden, and another
        cluster's job of that id is another job.
        """
        owner = self.owners.get(_array(job), Owner())
        user, cluster = user or owner.user, cluster or owner.cluster
        if cluster and self.asker.cluster and cluster != self.asker.cluster:
            return None
        listing = self._listing(job)
        if listing.knows(job):
            return listing.has(job)
        answered = self._asked(job) is not None
        return False if answered and user in ("", self.asker.user) else None

    def of_run(self, run_dir: Path) -> str | None:
        return self.newest.get(run_dir.name)

    def ending(self, job: str) -> str:
        ending = self._listing(job).ending(job)
        killed = any(OUT_OF_MEMORY.search(line) for line in self._said(job))
        return "oom" if ending == "failed" and killed else ending

    def describe(self, job: str) -> str:
        alive = self.alive(job)
        if alive is None:
            return self.out_of_sight(job)
        text = self._listing(job).describe(job)
        said = [] if alive else self._said(job)
        return f"{text}, {said[-1]}" if said else text

    def out_of_sight(self, job: str) -> str:
        """A job or array of which nothing can be learnt here, in words."""
        owner = self.owners.get(_array(job), Owner())
        whose = f" of {owner.user}" if owner.user else ""
        where = f" on cluster {owner.cluster}" if owner.cluster else ""
        return f"Slurm job {job}{whose}{where} can't be asked about from here"

    def _listing(self, job: str) -> Queue:
        if self.queue.knows(job):
            return self.queue
        asked = self._asked(job)
        return asked if asked is not None and asked.knows(job) else self.past

    def _asked(self, job: str) -> Queue | None:
        """squeue's answer about a job by its id, asked once together with all that are unlisted."""
        array = _array(job)
        if array not in self._by_id:
            listed = {_array(other) for other in self.queue.states}
            arrays = {array, *(_array(other) for other in self._forgotten())}
            arrays |= {other for other in self.owners if other not in listed}
            self._by_id.update(dict.fromkeys(arrays, read_jobs(arrays)))
        return self._by_id[array]

    def _forgotten(self) -> list[str]:
        return [job for job in self.newest.values() if not self.queue.knows(job)]

    def _said(self, job: str) -> list[str]:
        """What Slurm itself wrote at the end of a job's log, without its name for the node."""
        array, _, index = job.partition("_")
        if array not in self.folders:
            return []
        log = tail(self.folders[array] / f"{array}_{index}_0_log.out").decode(errors="replace")
        return re.findall(r"^slurmstepd\S*: (?:error: )?(.+)$", log, re.MULTILINE)


def jobs_of(root: Path) -> SlurmJobs | None:
    """A sweep's Slurm jobs; None where it has none or squeue does not answer.

    Runs that are done no longer need their jobs, so that only the others' are asked about.
    """
    recover(root)
    rows = submissions(root)
    if not rows:
        return None
    queue = read_queue()
    return None if queue is None else jobs_in(queue, rows)


def in_jobs(rows: list[dict[str, Any]], jobs: SlurmJobs, alive: bool | None) -> dict[str, str]:
    """Resolved run directory -> a submitted job that has it and of which `alive` is known."""
    found = {}
    for row in rows:
        for index, run_dirs in enumerate(row["jobs"]):
            job = f"{row['job']}_{index}"
            wanted = [path for path in run_dirs if not RunPaths(Path(path)).record.exists()]
            if wanted and jobs.alive(job) is alive:
                found.update(dict.fromkeys(wanted, job))
    return found


def jobs_in(queue: Queue, rows: list[dict[str, Any]]) -> SlurmJobs:
    """The jobs of these submissions, oldest first, by this queue."""
    newest = {
        Path(run_dir).name: f"{row['job']}_{index}"
        for row in rows
        for index, run_dirs in enumerate(row["jobs"])
        for run_dir in run_dirs
        if not RunPaths(Path(run_dir)).record.exists()
    }
    return SlurmJobs(
        queue,
        newest,
        folders={row["job"]: row["folder"] for row in rows},
        owners={row["job"]: row["owner"] for row in rows},
        asker=Owner(user_name(), cluster_name()),
    )


def submissions(root: Path) -> list[dict[str, Any]]:
    """What was submitted for a sweep, oldest first.

    Each has `job`, the array's id, `jobs`, the run directories of each of its jobs, `folder`, and
    `owner`. Where an older submission does not say whose it is, whoever owns its file submitted it.
    """
    found = []
    for path in sorted(SweepPaths(root).slurm.glob(f"*/{SUBMITTED}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            row = json.loads(path.read_text(encoding="utf-8"))
            jobs = [list(map(str, job)) for job in row["jobs"]]
            owner = Owner(str(row.get("user") or owner_of(path)), str(row.get("cluster") or ""))
            found.append(
                {"job": str(row["job"]), "jobs": jobs, "folder": path.parent, "owner": owner}
            )
    return found


def recover(root: Path) -> None:
    """Note the job ids of arrays that sbatch accepted without saying so, found by their names."""
    asked = {}
    for path in SweepPaths(root).slurm.glob(f"*/{ASKED}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            row = json.loads(path.read_text(encoding="utf-8"))
            if row["user"] == user_name() and not (path.parent / SUBMITTED).exists():
                asked[str(row["name"])] = (path.parent / SUBMITTED, row)
    for name, job in find(list(asked)).items():
        path, row = asked[name]
        with contextlib.suppress(IsoflopError):  # a full disk must not end a look at the status
            write_json(path, {**row, "job": job, "cluster": cluster_name()})


def _array(job: str) -> str:
    return job.partition("_")[0]
