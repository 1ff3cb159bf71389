"""One rank of a run on CPUs whose model Accelerate has put into shards, started by test_fsdp.

Accelerate shards on accelerators alone and asks no more than the kind of ranks, so that these say
that they are GPUs' (`MULTI_GPU`). The device is the CPU and everything else is the run as it is.
"""

import sys
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType

from train import run
from train.ranks.process_end import leave_after


class StopAfter:
    """A stop that is asked for at the given step, counted over calls."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def main() -> int:
    """Exit status of one rank."""
    run_dir, steps = Path(sys.argv[1]), int(sys.argv[2])
    PartialState(cpu=True)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    if steps:
        run.stop_requests = lambda: StopAfter(steps)
    status = run.train_run(run_dir)
    print(status)
    return 0 if status in ("finished", "preempted") else 1


if __name__ == "__main__":
    leave_after(main)
