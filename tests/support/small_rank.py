"""One rank of a run whose second device runs out of memory, for tests/train/ranks.

small_rank RUN_DIR [later]: at any pass over more than one row, or after some steps, and then the
rank stays, as one does whose collectives are not known to have failed, until its input closes.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from train import run
from train.model.build import SummedLoss
from train.ranks.process_end import leave_after

FINE_PASSES = 8
"""Passes that fit with `later`: those of the trials, and a few steps."""

later = len(sys.argv) > 2
passes: list[int] = []
_forward = SummedLoss.forward


def small_forward(self: Any, tokens: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
    passes.append(len(tokens))
    full = len(passes) > FINE_PASSES if later else len(tokens) > 1
    if self.training and full and torch.distributed.get_rank() == 1:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return _forward(self, tokens, *rest, **named)


def main() -> int:
    """Exit status of the rank."""
    try:
        return 0 if run.train_run(Path(sys.argv[1])) == "finished" else 1
    finally:
        if later and torch.distributed.get_rank() == 1:
            sys.stdin.read()


if __name__ == "__main__":
    SummedLoss.forward = small_forward  # type: ignore[method-assign]
    leave_after(main)
