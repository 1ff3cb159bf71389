"""One rank of a compiled run under DDP, which notes what happens in a backward pass, in order.

compiled_rank RUN_DIR OUT: writes OUT-RANK.json with the last backward pass, "graph" where that of a
compiled graph has ended and "bucket" where gradients are handed to the others, and what DDP was
told. Buckets are small, as gradients are here, and graphs run as they were traced.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from train import run
from train.engine import device
from train.ranks.process_end import leave_after

BUCKET_BYTES = 20_000

events: list[str] = []
wrapped: list[DistributedDataParallel] = []


def traced(graph: torch.fx.GraphModule, inputs: Any) -> Any:
    def noted(*arguments: Any) -> Any:
        events.append("forward")
        return graph.forward(*arguments)

    return make_boxed_func(noted)


def traced_backward(graph: torch.fx.GraphModule, inputs: Any) -> Any:
    def noted(*arguments: Any) -> Any:
        found = graph.forward(*arguments)
        events.append("graph")
        return found

    return make_boxed_func(noted)


def compiled(module: torch.nn.Module, graphs: bool = False) -> Any:
    backend = aot_autograd(fw_compiler=traced, bw_compiler=traced_backward)
    return torch.compile(module, backend=backend, dynamic=False)


def handed_over(
    group: dist.ProcessGroup, bucket: dist.GradBucket
) -> torch.futures.Future[torch.Tensor]:
    events.append("bucket")
    return allreduce_hook(group, bucket)


def prepare(self: Accelerator, *arguments: Any) -> Any:
    prepared = real_prepare(self, *arguments)
    (ddp,) = [one for one in prepared if isinstance(one, DistributedDataParallel)]
    ddp.register_comm_hook(dist.group.WORLD, handed_over)
    wrapped.append(ddp)
    return prepared


def main() -> int:
    """Exit status of the rank."""
    status = run.train_run(Path(sys.argv[1]))
    end = len(events) - events[::-1].index("bucket")
    begin = end - events[:end][::-1].index("forward")
    found = {
        "status": status,
        "backward": events[begin:end],
        "broadcast_buffers": wrapped[-1].broadcast_buffers,
    }
    Path(f"{sys.argv[2]}-{dist.get_rank()}.json").write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    run.compiled = compiled
    real_prepare = Accelerator.prepare
    Accelerator.prepare = prepare  # type: ignore[method-assign]
    dist._DEFAULT_FIRST_BUCKET_BYTES = BUCKET_BYTES  # type: ignore[attr-defined]
    kwargs = device.DistributedDataParallelKwargs
    device.DistributedDataParallelKwargs = partial(kwargs, bucket_cap_mb=BUCKET_BYTES / 2**20)  # type: ignore
    leave_after(main)
