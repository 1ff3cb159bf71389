"""Times any training loop from outside: every few optimiser steps it stops and waits to be let on.

A contender is a process that runs a loop as it is, in an environment of its own, with a hook that
PyTorch calls after each optimiser step. `Contender.round` lets one process run `every` steps while
all others stand still, so contenders alternate on one core and share its good and bad moments.
Seconds are CPU time of the process, all its threads: a neighbour on the core does not show in them.
This file imports torch alone and only inside the contender.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def beat_every(every: int) -> None:
    """In the contender: after each `every` steps write their seconds, then wait for a line."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the loop prints goes to standard error
    state = {"steps": 0, "since": time.process_time()}

    def hook(*_: object) -> None:
        state["steps"] += 1
        if state["steps"] % every:
            return
        seconds = time.process_time() - state["since"]
        replies.write(json.dumps({"seconds": seconds}) + "\n")
        replies.flush()
        if not sys.stdin.readline():
            os._exit(0)
        state["since"] = time.process_time()

    register_optimizer_step_post_hook(hook)


class Contender:
    """A process that calls `beat_every`; its set-up and first steps end with `ready`."""

    def __init__(self, command: list[str], log: Path) -> None:
        pinned = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=os.environ | pinned, cwd=ROOT,
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
            tail = self.log.read_text().strip().splitlines()[-12:]
            raise RuntimeError("a contender ended early:\n" + "\n".join(tail))
        return float(json.loads(line)["seconds"])
