"""How much may still be written into a directory: what is free, and what a quota leaves.

A quota that nobody can be asked about is not known; then the file system's free space is all there
is to go by.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from train.rundir.lock import user_name

QUOTA_SECONDS = 10.0

_ROW = re.compile(r"^\s*(\S+)\s+\[?(\d+)\]?\*?\s+(\d+)\s+(\d+)\b", re.MULTILINE)
"""A line of `quota -w` and of `lfs quota -q`: file system, used, soft and hard limit, in kB."""


@dataclass(frozen=True)
class Room:
    """Bytes that may still be written, and what sets the limit."""

    n_bytes: float
    limit: str


def room(directory: Path) -> Room | None:
    """What may be written into a directory, there yet or not; None where that can't be told."""
    here = directory.absolute()
    present = next((path for path in (here, *here.parents) if path.is_dir()), here)
    try:
        found = os.statvfs(present)
    except OSError:
        return None
    free = Room(float(found.f_bavail * found.f_frsize), f"free in {present}")
    quotas = [Room(left, "left of the disk quota") for left in _quotas(present)]
    return min([free, *quotas], key=lambda known: known.n_bytes)


def _quotas(path: Path) -> list[float]:
    """Bytes that the quotas of this user and group leave on a file system, where any answer."""
    try:
        group = str(path.stat().st_gid)
    except OSError:
        return []
    lustre = ["lfs", "quota", "-q"]
    commands = [
        ["quota", "-u", "-g", "-w", "-p", "-f", str(path)],
        [*lustre, "-u", user_name(), str(path)],
        [*lustre, "-g", group, str(path)],
    ]
    return [left for command in commands for left in _left(_output(command))]


def _left(text: str) -> list[float]:
    """kB left as bytes, of every line that sets a limit; a hard limit counts before a soft one."""
    rows = [(int(used), int(hard) or int(soft)) for _, used, soft, hard in _ROW.findall(text)]
    return [1024.0 * max(0, limit - used) for used, limit in rows if limit]


def _output(command: list[str]) -> str:
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=QUOTA_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    # quota exits with 1 where a limit is exceeded, which is when its answer matters most.
    return answer.stdout
