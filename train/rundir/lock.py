"""Who trains a run: one process at a time, told by facts (host, pid, start time), never guessed.

The lock is created with O_EXCL, so of two launchers exactly one gets it. A holder that died is
replaced under a short exclusive lock, so that two successors can't both replace it.
"""

import json
import os
import pwd
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from train.config.spec import IsoflopError
from train.rundir.atomic import RecordError
from train.rundir.mutex import exclusive
from train.rundir.record import RunPaths

HEARTBEAT_SECONDS = 15.0
"""How often a holder touches its lock."""

REMOTE_TIMEOUT_SECONDS = 600.0
"""A holder on another host, whose process can't be seen, counts as dead after this silence."""


class Claimed(IsoflopError):
    """The run is held by another live process."""


@dataclass(frozen=True)
class Holder:
    """The content of a lock file; `started` tells a reused pid from the process that locked.

    `user` and `cluster` say whose Slurm job `job` is, and where it can be asked about.
    """

    host: str
    pid: int
    started: str
    job: str | None
    token: str
    user: str = ""
    cluster: str = ""

    def describe(self) -> str:
        job = f", slurm job {self.job}" if self.job else ""
        return f"pid {self.pid} on {self.host}{job}"


def slurm_job() -> str | None:
    """This process's Slurm job as squeue and scancel name it, ARRAY_INDEX for arrays, or None."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID")


def user_name() -> str:
    """This process's user, by number where it has no name (as in some containers)."""
    return _name_of(os.getuid())


def owner_of(path: Path) -> str:
    """The user who owns a file, "" where it is gone."""
    try:
        return _name_of(path.stat().st_uid)
    except OSError:
        return ""


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def heartbeat_age(run_dir: Path) -> float:
    """Seconds since the run's holder last touched its lock; 0 where there is no lock."""
    return _silence_seconds(RunPaths(run_dir).lock)


def holder(run_dir: Path) -> Holder | None:
    """Whoever's lock lies in the run directory, dead or alive; None where there is no lock."""
    try:
        return Holder(**json.loads(RunPaths(run_dir).lock.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Holder(host="unknown", pid=-1, started="", job=None, token="unreadable")


def is_alive(run_dir: Path, held: Holder) -> bool:
    """Whether a holder still runs: by its process on this host, by its heartbeat on any other."""
    if held.host == socket.gethostname():
        return held.started == _process_start(held.pid)
    return _silence_seconds(RunPaths(run_dir).lock) < REMOTE_TIMEOUT_SECONDS


@contextmanager
def claim(run_dir: Path) -> Iterator[Holder]:
    """Hold the run for the duration of a with block, with a heartbeat on the lock file.

    Raises:  Claimed: another live process holds it; RecordError: the lock can't be written.
    """
    lock = RunPaths(run_dir).lock
    mine = Holder(
        host=socket.gethostname(),
        pid=os.getpid(),
        started=_process_start(os.getpid()),
        job=slurm_job(),
        token=uuid.uuid4().hex,
        user=user_name(),
        cluster=os.environ.get("SLURM_CLUSTER_NAME", ""),
    )
    _take(run_dir, lock, mine)
    stop = threading.Event()
    beat = threading.Thread(target=_heartbeat, args=(lock, stop), daemon=True)
    beat.start()
    try:
        yield mine
    finally:
        stop.set()
        beat.join()
        _release(run_dir, lock, mine)


def _take(run_dir: Path, lock: Path, mine: Holder) -> None:
    if _create(lock, mine):
        return
    with _mutex(run_dir):
        present = holder(run_dir)
        if present is not None and is_alive(run_dir, present):
            raise Claimed(f"{run_dir} is being trained by {present.describe()}")
        if present is not None:
            # Dead, and replaced under this mutex alone. Where no lock was seen, none is removed: a
            # newcomer may have created one since.
            lock.unlink(missing_ok=True)
        if not _create(lock, mine):
            raise Claimed(f"{run_dir} was claimed by another process just now")


def _release(run_dir: Path, lock: Path, mine: Holder) -> None:
    """Remove the lock if it is still ours.

    A full disk has no mutex to give; kept, the lock would hold the run while a warm worker lives.
    """
    try:
        with _mutex(run_dir):
            _remove_own(run_dir, lock, mine)
    except OSError:
        _remove_own(run_dir, lock, mine)


def _remove_own(run_dir: Path, lock: Path, mine: Holder) -> None:
    if holder(run_dir) == mine:
        lock.unlink(missing_ok=True)


def _create(lock: Path, mine: Holder) -> bool:
    """Put a complete lock file in place unless one exists: written aside, then hard-linked."""
    aside = lock.with_name(f".lock.{mine.token}")
    try:
        aside.write_text(json.dumps(asdict(mine)))
        os.link(aside, lock)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        raise RecordError(f"can't claim {lock.parent}: {error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _mutex(run_dir: Path) -> Iterator[None]:
    with exclusive(run_dir / ".lock.mutex"):
        yield


def _heartbeat(lock: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(lock)
        except OSError:
            return


def _silence_seconds(lock: Path) -> float:
    """Age of the last heartbeat by the file system's own clock, which all hosts share."""
    probe = lock.with_name(f".clock.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - lock.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _process_start(pid: int) -> str:
    """A token of a process's start, not shared by a later process of that pid; "" if none runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return "" if fields[0] == "Z" else f"ticks-{fields[19]}"
    except OSError:
        pass
    try:
        return f"created-{psutil.Process(pid).create_time():.1f}"
    except (psutil.Error, ValueError):
        return ""
