"""One process at a time in a short block, on any file system: by flock, else by a file of its own.

Lustre without the flock mount option, some FUSE and parallel file systems have no advisory locks:
flock fails there with ENOSYS, EOPNOTSUPP or ENOLCK. Creating a file with O_EXCL is atomic on all of
them, but nobody takes that file away for a process that died: it is replaced once its process is
known to be gone or it is too old.
"""

import errno
import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

NO_FLOCK = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)

STALE_SECONDS = 900.0
"""Age at which a file of another host's process no longer counts. The longest block, a submission
to a Slurm that keeps failing, is over in minutes."""

POLL_SECONDS = 0.1


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` as a mutex for the block; waits until whoever holds it is done.

    Raises:
        OSError: The file can't be created (read-only, full).
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_FLOCK:
                raise
            with _exclusive_file(path.with_name(f"{path.name}.held")):
                yield
        else:
            yield


@contextmanager
def _exclusive_file(path: Path) -> Iterator[None]:
    mine = json.dumps({"host": _host(), "pid": os.getpid(), "token": uuid.uuid4().hex})
    while not _create(path, mine):
        _remove_stale(path)
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        if _content(path) == mine:
            path.unlink(missing_ok=True)


def _create(path: Path, content: str) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as file:
        file.write(content)
    return True


def _remove_stale(path: Path) -> None:
    """Remove a file whose process is gone, and no other: it is moved away first and looked at.

    Between two that find the same dead file, the slower may move the quicker one's new file; it
    sees so, and puts it back.
    """
    seen = _content(path)
    if seen is None or not _is_stale(path, seen):
        return
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.rename(aside)
    except OSError:
        return
    try:
        if _content(aside) != seen:
            os.link(aside, path)
    except OSError:
        pass
    finally:
        aside.unlink(missing_ok=True)


def _is_stale(path: Path, content: str) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    try:
        row = json.loads(content)
        here = row["host"] == _host()
        return age > STALE_SECONDS or (here and not psutil.pid_exists(int(row["pid"])))
    except (ValueError, KeyError, TypeError):
        # Empty for the moment between its creation and its first line, or for good.
        return age > STALE_SECONDS


def _host() -> str:
    """This host, and of a container its own numbering of processes."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _content(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
