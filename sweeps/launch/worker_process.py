"""The launcher's end of a worker process: start it, ask it for a run, learn how it ended."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO, Any

from sweeps.launch.fork_server import UNSEEN, ForkedProcess, server_for
from sweeps.plan.machine import Slot, environment
from train.commands.processes import python_command, python_environment
from train.engine.signals import STOPPED_EXIT, held

WORKER = python_command("sweeps.launch.worker")
FORKS = [*WORKER, "forks"]

START_SECONDS = 300.0
"""A worker that has not finished its imports by then is broken."""

RETIRE_SECONDS = 30.0

log = logging.getLogger(__name__)


def begin_imports(threads: int) -> None:
    """Have workers on the CPU of so many threads import what they need, while a launch plans."""
    slot = Slot(0, None, (), threads)
    server_for(FORKS, environment(slot, python_environment(os.environ)))


class WorkerProcess:
    """A process that speaks the protocol of `sweeps.launch.worker`, in a session of its own.

    Ctrl-C on the terminal therefore reaches the launcher alone, which decides what becomes of it.
    """

    def __init__(self, slot: Slot, command: list[str], log_path: Path) -> None:
        self.log_path = log_path
        own = environment(slot, python_environment(os.environ))
        with log_path.open("ab") as stream:
            forked = _forked(slot, command, own, stream.fileno())
            self._process = forked or _started(command, own, stream)
        if slot.cores:
            _pin(self._process.pid, slot.cores)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def asked_to_stop(self) -> bool:
        """Whether the worker has ended because it was told to, by whomever."""
        return self._process.poll() in (STOPPED_EXIT, -signal.SIGTERM, -signal.SIGUSR2)

    def ready(self) -> bool:
        """Wait until the worker has imported everything; False where it died or hung over that."""
        timer = threading.Timer(START_SECONDS, self._process.kill)
        timer.start()
        try:
            return self._reply() is not None
        finally:
            timer.cancel()

    def ask(self, run_dir: Path) -> dict[str, Any] | None:
        """Have one run trained and wait for the reply; None where the worker died over it."""
        assert self._process.stdin is not None  # opened with a pipe
        try:
            self._process.stdin.write(f"{run_dir}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._reply()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the worker has ended."""
        if self.alive:
            self._process.send_signal(number)

    def retire(self) -> None:
        """Close the worker's input, which ends it between runs, and wait for it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(RETIRE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ending(self) -> str:
        """How a worker that ended did so, in words."""
        code = self._process.wait()
        if code == UNSEEN:
            return "ended unseen, since the process that it was forked from had been killed"
        if code >= 0:
            return f"exited with status {code}"
        name = signal.Signals(-code).name
        cause = " (out of memory, or killed by hand)" if name == "SIGKILL" else ""
        return f"killed by {name}{cause}"

    def _reply(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None  # opened with a pipe
        line = self._process.stdout.readline()
        try:
            return json.loads(line) if line else None
        except ValueError:
            return None


def _forked(
    slot: Slot, command: list[str], environment: dict[str, str], log: int
) -> ForkedProcess | None:
    """A worker forked from the launch's fork server, where there can be one."""
    if slot.device is not None or command != WORKER:
        return None
    server = server_for(FORKS, environment)
    return server.fork(environment, log) if server is not None else None


def _started(command: list[str], environment: dict[str, str], log: IO[bytes]) -> subprocess.Popen:
    """A worker in a fresh process."""
    with held():
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
            start_new_session=True,
        )


def _pin(pid: int, cores: tuple[int, ...]) -> None:
    if hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(pid, cores)
        except OSError as error:
            log.warning("can't pin worker %d to cores %s: %s", pid, cores, error)
