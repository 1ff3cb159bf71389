"""One submission to sbatch, which may refuse, be out of reach, or accept and not say so.

After a message that timed out, a second sbatch could put the same runs into the queue twice. So
every array has a name of its own, and is looked for by that name before anything is repeated.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from sweeps.slurm.cluster import cluster_name
from sweeps.slurm.commands import WAITS, Answer, SlurmError, ask, output


class RefusedError(SlurmError):
    """sbatch refused: nothing is in the queue."""


class UnansweredError(SlurmError):
    """sbatch did not answer clearly, and no job of that name is known (yet)."""


@dataclass(frozen=True)
class Accepted:
    """An array that is in the queue."""

    job: str
    cluster: str


def sbatch(script: Path, job_name: str) -> Accepted:
    """Submit a script whose job has a name that no other has.

    Raises:
        RefusedError: It is not in the queue, for the reason given.
        UnansweredError: It may be in the queue.
    """
    for wait in (*WAITS, None):
        answer = ask(["sbatch", "--parsable", str(script)])
        if answer.ok or answer.unclear:
            return _accepted(answer, job_name)
        if not answer.not_reached or wait is None:
            raise RefusedError(f"sbatch refused: {answer.reason}")
        time.sleep(wait)
    raise AssertionError("unreachable: the last wait is None")


def _accepted(answer: Answer, job_name: str) -> Accepted:
    """The array that sbatch names, or that goes by the name."""
    # --parsable prints "ID" or "ID;CLUSTER"; a site's own messages may stand before it.
    last = (answer.stdout.split() or [""])[-1]
    job, _, cluster = last.partition(";")
    if answer.ok and job.isdecimal():
        return Accepted(job, cluster or cluster_name())
    for wait in (0.0, *WAITS):
        time.sleep(wait)
        if job_name in (found := find([job_name])):
            return Accepted(found[job_name], cluster_name())
    said = answer.reason if not answer.ok else f"unexpected answer {answer.stdout.strip()!r}"
    raise UnansweredError(
        f"sbatch did not say whether it accepted the array ({said}), and no job is named {job_name}"
        f" yet; look at isoflop sweep status in a minute: if it shows no job, launch again"
    )


def find(job_names: list[str]) -> dict[str, str]:
    """Name -> array id of this user's jobs of these names, by the queue and the accounting."""
    if not job_names:
        return {}
    names = ",".join(job_names)
    squeue = ["squeue", "--noheader", "--me", "--states=all", f"--name={names}", "--format=%F|%j"]
    # By default sacct begins at midnight.
    since = ["--starttime=now-1days", "--format=JobID,JobName"]
    sacct = ["sacct", "-X", "-n", "-P", f"--name={names}", *since]
    found: dict[str, str] = {}
    for line in f"{output(sacct) or ''}\n{output(squeue) or ''}".splitlines():
        job, _, name = line.strip().partition("|")
        if name in job_names:
            found[name] = job.partition("_")[0]
    return found
