"""Times any training loop from outside: every few optimiser steps it stops and waits to be let on.

A contender is a process that runs a loop as it is, in an environment of its own, with a hook that
PyTorch calls after each optimiser step. `Contender.round` lets one process run `every` steps while
all others stand still, so contenders alternate on one core and share its good and bad moments.
Seconds are CPU time of the process, all its threads: a neighbour on the core does not show in them.
This file imports torch alone and only inside the contender.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def beat_every(every: int, connection: Connection | None = None) -> None:
    """In the contender: after each `every` steps tell their seconds, then wait to be let on.

    Over the connection where there is one, else by lines of standard output and input.
    """
    from torch.optim.optimizer import register_optimizer_step_post_hook

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tell, told = _by_lines() if connection is None else (connection.send, connection.recv)
    state = {"steps": 0, "since": time.process_time()}

    def hook(*_: object) -> None:
        state["steps"] += 1
        if state["steps"] % every:
            return
        tell(time.process_time() - state["since"])
        try:
            told()
        except EOFError:
            os._exit(0)
        state["since"] = time.process_time()

    register_optimizer_step_post_hook(hook)


def _by_lines() -> tuple[Callable[[float], None], Callable[[], None]]:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the loop prints goes to standard error

    def tell(seconds: float) -> None:
        replies.write(json.dumps({"seconds": seconds}) + "\n")
        replies.flush()

    def told() -> None:
        if not sys.stdin.readline():
            raise EOFError

    return tell, told


PINNED = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class Contender:
    """A process that calls `beat_every`; its set-up and first steps end with `ready`."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=os.environ | PINNED, cwd=ROOT,
            )  # fmt: skip

    def ready(self) -> None:
        """Wait for set-up and warm-up, which several contenders may share the cores for."""
        self._seconds()

    def round(self) -> float:
        """Seconds of the next few steps."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._seconds()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _seconds(self) -> float:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise _early(self.log)
        return float(json.loads(line)["seconds"])


class Forked:
    """A contender of this environment, forked from a process that has imported what all need.

    Importing takes longer than everything else of a contender that is not compiled.
    """

    def __init__(self, loop: Callable[..., None], request: Mapping[str, Any], log: Path) -> None:
        os.environ.update(PINNED)  # the server takes them over when it starts
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.log = log
        log.touch()
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_beating, args=(loop, request, theirs, str(log)))
        self.process.start()
        theirs.close()

    def ready(self) -> None:
        """Wait for set-up and warm-up, which several contenders may share the cores for."""
        self._seconds()

    def round(self) -> float:
        """Seconds of the next few steps."""
        self.connection.send(None)
        return self._seconds()

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()

    def _seconds(self) -> float:
        try:
            return float(self.connection.recv())
        except EOFError as error:
            self.close()
            raise _early(self.log) from error


PRELOADED = ["benchmarks.loops"]


def _beating(
    loop: Callable[..., None], request: Mapping[str, Any], connection: Connection, log: str
) -> None:
    written = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(written, 1)
    os.dup2(written, 2)
    import torch

    torch.set_num_threads(1)
    beat_every(request["every"], connection)
    loop(request)


def _early(log: Path) -> RuntimeError:
    tail = log.read_text().strip().splitlines()[-12:]
    return RuntimeError("a contender ended early:\n" + "\n".join(tail))
