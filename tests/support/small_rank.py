"""One rank of a run whose second device holds one row only, started by test_shared_memory_error."""

import sys
from pathlib import Path
from typing import Any

import torch

from train import run
from train.model.build import SummedLoss
from train.ranks.process_end import leave_after

_forward = SummedLoss.forward


def small_forward(self: Any, tokens: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
    if self.training and len(tokens) > 1 and torch.distributed.get_rank() == 1:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return _forward(self, tokens, *rest, **named)


if __name__ == "__main__":
    SummedLoss.forward = small_forward  # type: ignore[method-assign]
    leave_after(lambda: 0 if run.train_run(Path(sys.argv[1])) == "finished" else 1)
