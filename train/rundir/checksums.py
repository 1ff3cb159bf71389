"""SHA256SUMS of a checkpoint directory, in the format that `sha256sum -c` reads.

Weights with a flipped bit load like any others; nothing but a checksum tells.
"""

import hashlib
from pathlib import Path

from train.rundir.atomic import write_atomic

CHECKSUMS = "SHA256SUMS"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content.

    Raises:  OSError: it can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(directory: Path) -> None:
    """Record the checksum of every file of a directory in it.

    Raises:  OSError, RecordError: a file can't be read or the list not be written.
    """
    files = sorted(p for p in directory.iterdir() if p.is_file() and p.name != CHECKSUMS)
    lines = [f"{sha256_of(path)}  {path.name}\n" for path in files]
    write_atomic(directory / CHECKSUMS, "".join(lines))


def checksum_problem(directory: Path) -> str:
    """The first file that is not as it was written; empty where all are, or none are recorded.

    Checkpoints of earlier releases, and of others, have no checksums.
    """
    path = directory / CHECKSUMS
    try:
        if not path.exists():
            return ""
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        return f"{CHECKSUMS} can't be read ({error})"
    for line in lines:
        expected, _, name = line.partition("  ")
        try:
            if sha256_of(directory / name) != expected:
                return f"{name} is not as it was written (its checksum differs)"
        except OSError as error:
            return f"{name} can't be read ({error.strerror or error})"
    return ""
