"""Stopping a launch whose runs all fail: a bug common to them would fail a thousand one by one."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.directory.run_state import read_state
from train.config.spec import IsoflopError
from train.rundir.atomic import append_jsonl, read_jsonl
from train.rundir.record import DONE

FAILURES = ("failed",)
"""Ends that count. A run that was stopped, preempted or out of time says nothing of the next, and
one out of memory nothing of smaller ones: the longest runs go first."""


class GaveUpError(IsoflopError):
    """So many runs in a row failed that no more were started."""


@dataclass(frozen=True)
class End:
    """How one run ended."""

    status: str
    message: str

    @property
    def failed(self) -> bool:
        return self.status in FAILURES


def ended(run_dir: Path, status: str, message: str = "") -> End | None:
    """A run's end with its reason, or None where its end says nothing about other runs."""
    if status in DONE:
        return End(status, "")
    if status not in FAILURES:
        return None
    return End(status, message or read_state(run_dir).note)


def reason_to_stop(ends: Sequence[End], most: int) -> str:
    """Why no more runs should start after these ends, or "" where nothing speaks against it.

    Args:
        ends: In the order in which the runs ended.
        most: So many failures in a row are too many; 0 is no limit.
    """
    last = list(ends[-most:]) if most else []
    if len(last) < most or not most or not all(end.failed for end in last):
        return ""
    shared, count = Counter(_kind(end.message) for end in last).most_common(1)[0]
    example = next(end.message for end in reversed(last) if _kind(end.message) == shared)
    how_many = "all" if count == most else f"{count} of them"
    text = f"with {example}" if example else "without a reason"
    return (
        f"the last {most} runs failed (launcher.max_failures={most}), {how_many} {text}; mend it "
        f"and launch again"
    )


def _kind(message: str) -> str:
    """A message without what differs from run to run: paths and numbers."""
    return re.sub(r"\d+(\.\d+)?", "N", re.sub(r"\S*/\S*", "PATH", message))


@dataclass
class Streak:
    """The ends of the runs of one launch in this process."""

    most: int
    ends: list[End] = field(default_factory=list)

    def note(self, run_dir: Path, status: str, message: str) -> str:
        """Add a run's end; returns why no more should start, or ""."""
        end = ended(run_dir, status, message)
        if end is not None:
            self.ends.append(end)
        return self.reason()

    def reason(self) -> str:
        return reason_to_stop(self.ends, self.most)


@dataclass
class SharedStreak:
    """The ends of the runs of one launch in many jobs, a line each in a file that all append to."""

    most: int
    path: Path

    def note(self, run_dir: Path, status: str, message: str) -> str:
        """Add a run's end; returns why no more should start, or ""."""
        end = ended(run_dir, status, message)
        if end is not None and self.most:
            row = {"run": run_dir.name, "status": end.status, "message": end.message}
            append_jsonl(self.path, row)
        return self.reason()

    def reason(self) -> str:
        rows = read_jsonl(self.path) if self.most else []
        ends = [End(str(row.get("status")), str(row.get("message") or "")) for row in rows]
        return reason_to_stop(ends, self.most)
