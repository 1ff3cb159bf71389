"""Who trains a run: one process at a time, known by host, pid and start time, never guessed.

The lock is created with O_EXCL, so of two launchers exactly one gets it. A holder that died is
replaced under a short exclusive lock, so that two successors can't both replace it.
"""

import dataclasses
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
from typing import Any

import psutil

from train.config.spec import IsoflopError
from train.rundir.atomic import BAD_JSON, RecordError
from train.rundir.mutex import exclusive
from train.rundir.record import RunPaths

HEARTBEAT_SECONDS = 15.0
"""How often a holder touches its lock."""

REMOTE_TIMEOUT_SECONDS = 600.0
"""A holder whose process can't be seen from here counts as dead after this silence."""

FRESH_SECONDS = 4 * HEARTBEAT_SECONDS
"""A lock that was touched within this time is held, even where a batch system says that its job is
gone: four beats, for file systems that lag."""


class Claimed(IsoflopError):
    """The run is held by another live process."""


@dataclass(frozen=True)
class LockOwner:
    """The content of a lock file; `started` tells a reused pid from the process that locked.

    `boot` and `namespace` tell machines and containers of one host name apart, in which the same
    pid is another process; `user` and `cluster` say whose Slurm job `job` is, and where it can be
    asked about. Locks of earlier releases have none of these.
    """

    host: str
    pid: int
    started: str
    job: str | None
    token: str
    user: str = ""
    cluster: str = ""
    boot: str = ""
    namespace: str = ""

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


def holder(run_dir: Path) -> LockOwner | None:
    """Whoever's lock lies in the run directory, dead or alive; None where there is no lock."""
    try:
        return _parsed(json.loads(RunPaths(run_dir).lock.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, *BAD_JSON):
        return LockOwner(host="unknown", pid=-1, started="", job=None, token="unreadable")


def is_alive(run_dir: Path, held: LockOwner) -> bool:
    """Whether a holder still runs: by its process where that can be seen, else by its heartbeat."""
    if is_visible(held):
        return held.started == _process_start(held.pid)
    return _silence_seconds(RunPaths(run_dir).lock) < REMOTE_TIMEOUT_SECONDS


def is_visible(held: LockOwner) -> bool:
    """Whether a holder's pid is one of this process's own host, boot and pid namespace.

    Another container's pid 1 says nothing of ours, nor does that of a machine of the same name.
    """
    if held.host != socket.gethostname():
        return False
    known = ((held.boot, _boot()), (held.namespace, _pid_namespace()))
    return all(theirs == ours for theirs, ours in known if theirs and ours)


def is_fresh(run_dir: Path) -> bool:
    """Whether the lock of a run was touched just now, which only its living holder does."""
    return _silence_seconds(RunPaths(run_dir).lock) < FRESH_SECONDS


def this_process(token: str, job: str | None = None) -> LockOwner:
    """This process as a holder."""
    return LockOwner(
        host=socket.gethostname(),
        pid=os.getpid(),
        started=_process_start(os.getpid()),
        job=job,
        token=token,
        user=user_name(),
        cluster=os.environ.get("SLURM_CLUSTER_NAME", ""),
        boot=_boot(),
        namespace=_pid_namespace(),
    )


@contextmanager
def claim(run_dir: Path) -> Iterator[LockOwner]:
    """Hold the run for the duration of a with block, with a heartbeat on the lock file.

    Raises:  Claimed: another live process holds it; RecordError: the lock can't be written.
    """
    lock = RunPaths(run_dir).lock
    mine = this_process(uuid.uuid4().hex, slurm_job())
    try:
        _take(run_dir, lock, mine)
    except OSError as error:
        raise RecordError(f"can't claim {run_dir}: {error.strerror or error}") from error
    stop = threading.Event()
    beat = threading.Thread(target=_heartbeat, args=(lock, stop), daemon=True)
    beat.start()
    try:
        yield mine
    finally:
        stop.set()
        beat.join()
        _release(run_dir, lock, mine)


def _take(run_dir: Path, lock: Path, mine: LockOwner) -> None:
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


def _release(run_dir: Path, lock: Path, mine: LockOwner) -> None:
    """Remove the lock if it is still ours.

    A full disk has no mutex to give; kept, the lock would hold the run while a warm worker lives.
    """
    try:
        with _mutex(run_dir):
            _remove_own(run_dir, lock, mine)
    except OSError:
        _remove_own(run_dir, lock, mine)


def _remove_own(run_dir: Path, lock: Path, mine: LockOwner) -> None:
    if holder(run_dir) == mine:
        lock.unlink(missing_ok=True)


def _create(lock: Path, mine: LockOwner) -> bool:
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
        except FileNotFoundError:
            return
        except OSError:
            # A file system that fails for a moment: a heart that stopped would lose the run.
            continue


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


def _parsed(content: Any) -> LockOwner:
    """A holder from JSON; what later releases add is passed over.

    Raises:  TypeError: a field is missing or of another type.
    """
    known = {field.name for field in dataclasses.fields(LockOwner)}
    found = LockOwner(**{name: value for name, value in dict(content).items() if name in known})
    texts = [value for name, value in asdict(found).items() if name not in ("pid", "job")]
    texts.append(found.job or "")
    if type(found.pid) is not int or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{content!r:.80} is no holder")
    return found


def _boot() -> str:
    """What tells this machine since its last start from every other; "" where that is unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    """What tells this container's pids from those of others on the machine; "" if unknown."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


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
