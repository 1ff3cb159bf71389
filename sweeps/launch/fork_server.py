"""A process that has imported everything and forks workers, which begin at once and share memory.

Python and torch take seconds to import, in every worker again. One process imports them while the
launch still plans; workers are forked from it as they are wanted. It starts no thread, computes
nothing and touches no device, so that a fork is as good as new. Linux alone; elsewhere, and on
GPUs, every worker is started afresh.

Its standard input is a socket: a request carries a worker's environment and its standard streams,
the answer is the worker's pid, and its exit status follows through a pipe. With the socket closed
the server leaves, and workers go on until their own input is.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from typing import IO

from train.engine.signals import held

REQUEST_BYTES = 1 << 21
"""Room for an environment; a socket takes less in one piece, and refuses what is longer."""

IMPORT_SECONDS = 300.0
"""A server that has not answered by then is broken."""

UNSEEN = 256
"""Stands for an exit status that nobody was left to be told; no process has it."""

_FDS = 4
"""Descriptors of a request: a worker's standard input, output and error, and its status pipe."""


class ForkedProcess:
    """A process forked by the server, with what workers need of `subprocess.Popen`."""

    def __init__(self, pid: int, stdin: int, stdout: int, status: int) -> None:
        self.pid = pid
        self.stdin: IO[str] = open(stdin, "w", encoding="utf-8")  # noqa: SIM115
        self.stdout: IO[str] = open(stdout, encoding="utf-8")  # noqa: SIM115
        self._status = status
        self._code: int | None = None
        try:
            self._pidfd: int | None = os.pidfd_open(pid)
        except ProcessLookupError:  # ended already
            self._pidfd = None
        for fd in filter(None, (status, self._pidfd)):
            weakref.finalize(self, os.close, fd)
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Exit status, or minus the number of the signal that ended it; None while it lives.

        It is UNSEEN where the server had ended before.
        """
        with self._lock:
            if self._code is None and (self._pidfd is None or _readable(self._pidfd, 0)):
                told = os.read(self._status, 64)
                self._code = int(told) if told else UNSEEN
            return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit status.

        Raises:  subprocess.TimeoutExpired: it goes on after `timeout` seconds.
        """
        if self._pidfd is not None:
            _readable(self._pidfd, timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._code is None and self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The launcher's end of a fork server, which starts to import as soon as this is made."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.command, self.environment = command, _of_imports(environment)
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(IMPORT_SECONDS)
        with theirs, held():
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,  # a worker started in its place says what is wrong
                stderr=subprocess.DEVNULL,
                env=dict(environment),
                start_new_session=True,
            )

    def serves(self, command: list[str], environment: Mapping[str, str]) -> bool:
        """Whether a worker of this command and environment may be forked from it."""
        same = (command, _of_imports(environment)) == (self.command, self.environment)
        return same and self._channel.fileno() != -1 and self._process.poll() is None

    def fork(self, environment: Mapping[str, str], stderr: int) -> ForkedProcess | None:
        """A new worker in a session of its own; None where the server can't."""
        pipes = [os.pipe(), os.pipe(), os.pipe()]
        (stdin, ours_in), (ours_out, stdout), (ours_status, status) = pipes
        try:
            request = json.dumps({"cwd": os.getcwd(), "environment": dict(environment)}).encode()
            with self._lock:
                socket.send_fds(self._channel, [request], [stdin, stdout, stderr, status])
                answer = self._channel.recv(64)
            made = ForkedProcess(int(answer), ours_in, ours_out, ours_status) if answer else None
        except OSError:
            made = None
        if made is None:
            self.close()  # an answer that came late would be taken for the next one's
        for fd in (stdin, stdout, status, *(() if made else (ours_in, ours_out, ours_status))):
            os.close(fd)
        return made

    def close(self) -> None:
        """End the server; its workers go on, though nobody will know how they ended."""
        self._channel.close()
        self._process.kill()
        self._process.wait()


_servers: list[ForkServer] = []
"""This process's fork server, one at most: it lasts as long as the process, for every launch."""

_preparing = threading.Lock()


def server_for(command: list[str], environment: Mapping[str, str]) -> ForkServer | None:
    """The server of such workers, which begins to import where it is new; None off Linux."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    with _preparing:
        if not _servers or not _servers[0].serves(command, environment):
            close_servers()
            try:
                _servers.append(ForkServer(command, environment))
            except OSError:
                return None
        return _servers[0]


@atexit.register
def close_servers() -> None:
    """End this process's fork server, whose processor time counts to this process from then on."""
    while _servers:
        _servers.pop().close()


def become_worker() -> bool:
    """In the server: fork for every request, until the launcher's end of the socket is closed.

    Returns: True in a worker, whose streams, environment and working directory are set; False in
             the server, at the end.
    """
    os.close(os.pidfd_open(os.getpid()))  # where a sandbox forbids it, no worker is forked
    with socket.socket(fileno=os.dup(0)) as channel:
        workers: dict[int, tuple[int, int]] = {}
        """pid and status pipe by pidfd."""
        while True:
            ready, _, _ = select.select([channel.fileno(), *workers], [], [])
            for pidfd in workers.keys() & set(ready):
                pid, status = workers.pop(pidfd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(BrokenPipeError):
                    os.write(status, str(code).encode())
                os.close(pidfd)
                os.close(status)
            if channel.fileno() not in ready:
                continue
            request, fds, _, _ = socket.recv_fds(channel, REQUEST_BYTES, _FDS)
            if not request:
                return False
            pid = os.fork()
            if pid == 0:
                for fd in (fd for pidfd, (_, pipe) in workers.items() for fd in (pidfd, pipe)):
                    os.close(fd)
                _take_place(json.loads(request), fds)
                return True
            workers[os.pidfd_open(pid)] = pid, fds[3]
            for fd in fds[:3]:
                os.close(fd)
            channel.send(str(pid).encode())


def _take_place(request: dict, fds: list[int]) -> None:
    """Give a process that was just forked the place in the world that its request asks for."""
    os.setsid()
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    for fd in fds:
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    import numpy as np

    np.random.seed()  # noqa: NPY002 - its global state would be the same in every worker


def _of_imports(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that imported modules may have read: W&B is not among them."""
    return {name: value for name, value in environment.items() if not name.startswith("WANDB_")}


def _readable(fd: int, timeout: float | None) -> bool:
    """Whether a descriptor can be read within some seconds (None: whenever)."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))
