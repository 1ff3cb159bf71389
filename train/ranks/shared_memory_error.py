"""A lack of memory that all ranks learn of together, before any of them waits for the others.

A rank that runs out of memory alone leaves the others in a collective until its time limit. So the
first steps are tried out: a pass forward and backward without a collective, after which the ranks
tell one another whether it fitted.
"""

from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor

TRIED_STEPS = 2
"""Steps of a run that are tried out: the second is the first with the optimiser's moments."""


class SharedMemoryError(torch.OutOfMemoryError):
    """A pass did not fit on at least one rank, and every rank raises this at the same point."""


def try_out(one_pass: Callable[[], None], accelerator: Accelerator) -> None:
    """Run a pass without collectives on every rank.

    Raises:  SharedMemoryError: on all ranks, where it did not fit on one of them.
    """
    reason = ""
    try:
        one_pass()
    except torch.OutOfMemoryError as error:
        reason = str(error)
    lacking = torch.tensor(float(bool(reason)), device=accelerator.device)
    lacking = accelerator.reduce(lacking, reduction="sum")
    assert isinstance(lacking, Tensor)  # reduce keeps the type that it is given
    if lacking > 0:
        raise SharedMemoryError(reason or f"out of memory on {int(lacking)} other ranks")
