"""A warm worker process: it imports everything once, then trains one run directory after another.

Protocol, one line each way: a run directory on standard input, a JSON object with its final status
on standard output; `device_lost` in it says that the process can't use its GPU any more and leaves.
What a run prints goes to standard error, which the pool sends to the worker's
log. A closed standard input means that the launcher is gone: the run in progress saves and stops.

With `forks` behind it, it is the fork server that such workers come from (fork_server.py).
"""

import json
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from sweeps.launch.fork_server import become_worker
from train.commands.imports import imports_that_stay
from train.config.spec import IsoflopError
from train.engine.signals import Stopped, answer_at_once
from train.rundir.record import append_status

TrainRun = Callable[[Path], str]
"""Trains a run directory and returns the status that it ended with."""


def serve(train: TrainRun, usable: Callable[[], bool] = lambda: True) -> None:
    """Answer requests until standard input closes or a stop signal has ended a run.

    Args:    usable: whether the device still works, asked after a failed run; where not, the worker
             leaves, since every later run would fail in it.
    """
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as replies:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        requests: queue.Queue[str | None] = queue.Queue()
        busy = threading.Event()
        reader = threading.Thread(target=_read, args=(sys.stdin, requests, busy), daemon=True)
        reader.start()
        _reply(replies, {"ready": os.getpid()})
        while (line := requests.get()) is not None:
            busy.set()
            status, message = attempt(train, Path(line))
            busy.clear()
            answer_at_once()
            lost = status == "failed" and not usable()
            reply = {"run_dir": line, "status": status, "message": message, "device_lost": lost}
            _reply(replies, reply)
            if lost:
                return


def attempt(train: TrainRun, run_dir: Path) -> tuple[str, str]:
    """(status, message) of training one run; a stop outside its loop is recorded as preemption."""
    try:
        return train(run_dir), ""
    except IsoflopError as error:
        return "failed", str(error)
    except Stopped:
        append_status(run_dir, "preempted", message="stopped before or after its training loop")
        return "preempted", ""


def _read(stream: TextIO, requests: "queue.Queue[str | None]", busy: threading.Event) -> None:
    """Pass requests on; at the end of the stream, ask a run in progress to save and stop."""
    for line in stream:
        requests.put(line.rstrip("\n"))
    requests.put(None)
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _reply(stream: TextIO, content: dict[str, object]) -> None:
    try:
        stream.write(json.dumps(content) + "\n")
        stream.flush()
    except BrokenPipeError:
        sys.exit(1)


def main() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    forks = sys.argv[1:] == ["forks"]
    if not forks:
        answer_at_once()
    with imports_that_stay():
        from train.engine.device import is_usable
        from train.run import train_run

    if forks and not become_worker():
        return
    answer_at_once()
    serve(train_run, is_usable)


if __name__ == "__main__":
    main()
