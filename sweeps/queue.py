"""What Slurm says of its jobs: one squeue call, parsed."""

import subprocess
from dataclasses import dataclass, field

SQUEUE_SECONDS = 60.0

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

    def has(self, job: str) -> bool:
        """Whether a job is pending, running or on its way to either."""
        state, _ = self.states.get(job, ("", ""))
        return bool(state) and state not in ENDED

    def has_array(self, array: str) -> bool:
        """Whether any job of an array is still there."""
        return any(self.has(job) for job in self.states if job.partition("_")[0] == array)

    def ending(self, job: str) -> str:
        """The run status that a job's end without a word amounts to."""
        return ENDINGS.get(self.states.get(job, ("", ""))[0], "failed")

    def describe(self, job: str) -> str:
        """A job's state and Slurm's reason for it, in words."""
        state, reason = self.states.get(job, ("gone", ""))
        known = reason not in ("", "None")
        return f"Slurm job {job} is {state.lower()}" + (f" ({reason})" if known else "")


def read_queue(arrays: list[str] | None = None) -> Queue | None:
    """All jobs of this user, or None where squeue is missing or does not answer.

    squeue forgets ended jobs after some minutes; for `arrays`, sacct fills in where it is set up.
    """
    squeue = ["squeue", "--noheader", "--array", "--me", "--states=all", "--format=%A|%i|%T|%r"]
    listed = _output(squeue)
    if listed is None:
        return None
    queue = parse_queue(listed)
    gone = [array for array in arrays or [] if not queue.has_array(array)]
    sacct = ["sacct", "-X", "-n", "-P", "-o", "JobIDRaw,JobID,State,Reason", "-j", ",".join(gone)]
    past = parse_queue(_output(sacct) or "") if gone else Queue()
    return Queue({**past.states, **queue.states})


def _output(command: list[str]) -> str | None:
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=SQUEUE_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout


def parse_queue(text: str) -> Queue:
    """Lines of `raw id|array id|state|reason`; a line that is not one is passed over."""
    states = {}
    for line in text.splitlines():
        parts = line.strip().split("|", 3)
        if len(parts) == 4:
            raw, array, state, reason = parts
            states[raw] = states[array] = (state.split()[0] if state else "", reason)
    return Queue(states)
