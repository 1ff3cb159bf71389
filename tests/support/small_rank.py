"""One rank of a run whose second device holds one row only, started by test_shared_memory_error."""

import sys
from pathlib import Path
from typing import Any

import torch

from train import run
from train.model.build import SummedLoss

_forward = SummedLoss.forward


def small_forward(self: Any, tokens: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
    if self.training and len(tokens) > 1 and torch.distributed.get_rank() == 1:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return _forward(self, tokens, *rest, **named)


if __name__ == "__main__":
    SummedLoss.forward = small_forward  # type: ignore[method-assign]
    status = run.train_run(Path(sys.argv[1]))
    run.leave(0 if status == "finished" else 1)
