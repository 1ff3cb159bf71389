"""What Slurm says of its jobs, parsed: squeue of those that it has in mind, sacct of the past."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sweeps.slurm.commands import MissingError, output, question

ENDED = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
)
"""States that squeue still lists for a while after a job's end."""

ENDINGS = {"TIMEOUT": "timeout", "OUT_OF_MEMORY": "oom", "PREEMPTED": "preempted"}
"""Run statuses that a job's end accounts for; any other end is a failure."""


@dataclass(frozen=True)
class Queue:
    """Jobs by every id they go by (raw and ARRAY_INDEX), with state and reason."""

    states: dict[str, tuple[str, str]] = field(default_factory=dict)

    def knows(self, job: str) -> bool:
        """Whether a job is listed at all, ended or not."""
        return job in self.states

    def has(self, job: str) -> bool:
        """Whether a job is pending, running or on its way to either."""
        state, _ = self.states.get(job, ("", ""))
        return bool(state) and state not in ENDED

    def ending(self, job: str) -> str:
        """The run status that a job's end without a word amounts to."""
        return ENDINGS.get(self.states.get(job, ("", ""))[0], "failed")

    def describe(self, job: str) -> str:
        """A job's state and Slurm's reason for it, in words."""
        state, reason = self.states.get(job, ("gone", ""))
        known = reason not in ("", "None")
        return f"Slurm job {job} is {state.lower()}" + (f" ({reason})" if known else "")


FORMAT = "--format=%A|%i|%T|%r"


def read_queue() -> Queue | None:
    """All jobs of this user that squeue lists, or None where it is missing or does not answer.

    It forgets a job some minutes after its end, though others of its array go on.
    """
    listed = output(["squeue", "--noheader", "--array", "--me", "--states=all", FORMAT])
    return None if listed is None else parse_queue(listed)


def read_jobs(arrays: Collection[str]) -> Queue | None:
    """These arrays (or jobs), whosever they are; None where squeue does not answer.

    Of a single job that it does not know squeue says so as an error, of one among several nothing.
    """
    ids = ",".join(sorted(arrays))
    squeue = ["squeue", "--noheader", "--array", f"--jobs={ids}", "--states=all", FORMAT]
    try:
        answer = question(squeue)
    except MissingError:
        return None
    if answer.ok:
        return parse_queue(answer.stdout)
    return Queue() if "invalid job id" in answer.stderr.lower() else None


def read_past(arrays: Collection[str]) -> Queue:
    """The ended jobs of these arrays by Slurm's accounting; none where that is not set up.

    Their reason is the exit code. What sacct calls Reason is why a job last had to wait.
    """
    fields = "JobIDRaw,JobID,State,ExitCode"
    ids = ",".join(sorted(arrays))
    sacct = ["sacct", "-X", "-n", "-P", "-o", fields, "-j", ids, "--allusers"]
    past = parse_queue(output(sacct) or "") if arrays else Queue()
    return Queue(
        {
            job: (state, "" if code == "0:0" else f"exit code {code}")
            for job, (state, code) in past.states.items()
            if state in ENDED
        }
    )


def parse_queue(text: str) -> Queue:
    """Lines of `raw id|array id|state|reason`; a line that is not one is passed over."""
    states = {}
    for line in text.splitlines():
        parts = line.strip().split("|", 3)
        if len(parts) == 4:
            raw, array, state, reason = parts
            states[raw] = states[array] = (state.split()[0] if state else "", reason)
    return Queue(states)
