"""One rank of a run on CPUs whose model lies in shards, started by test_sharding.

Accelerate shards on accelerators alone, so that its `prepare` is stood in for by the same calls to
`fully_shard` that it makes; everything else is the run as it is.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from train import run
from train.engine.device import make_accelerator


def sharding_accelerator(*settings: Any) -> Any:
    accelerator = make_accelerator(*settings)
    accelerator.prepare = shard
    return accelerator


def shard(trained: Any, optimizer: torch.optim.Optimizer) -> tuple[Any, torch.optim.Optimizer]:
    """Cut every layer's parameters, then the rest, and hand the pieces to the optimiser."""
    names = {parameter: name for name, parameter in trained.named_parameters()}
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for layer in trained.model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(trained, mesh=mesh)
    cut = dict(trained.named_parameters())
    for group in optimizer.param_groups:
        group["params"] = [cut[names[parameter]] for parameter in group["params"]]
    return trained, optimizer


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


if __name__ == "__main__":
    run_dir, steps = Path(sys.argv[1]), int(sys.argv[2])
    run.make_accelerator = sharding_accelerator
    if steps:
        run.stop_requests = lambda: StopAfter(steps)
    status = run.train_run(run_dir)
    print(status)
    run.leave(0 if status in ("finished", "preempted") else 1)
