"""Weights averaged over the last part of a run, kept among the optimiser's state of each parameter.

There they are saved, restored and put into shards with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from train.config.spec import RunSpec, known

KEY = "ema"


def first_averaged_step(spec: RunSpec) -> int | None:
    """The first step whose weights count; None for a run that averages none."""
    if spec.optim.ema_fraction is None:
        return None
    n_steps = known(spec.n_steps, "n_steps")
    return max(1, n_steps - round(n_steps * spec.optim.ema_fraction) + 1)


@torch.no_grad()
def average(optimizer: torch.optim.Optimizer, spec: RunSpec, done: int) -> None:
    """Take in the weights after `done` steps."""
    first = first_averaged_step(spec)
    if first is None or done < first:
        return
    part = known(spec.n_steps, "n_steps") - first + 1
    decay = spec.optim.ema_decay
    decay = max(0.0, 1 - 4 / part) if decay is None else decay
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            if KEY in state:
                state[KEY].lerp_(parameter.detach(), 1 - decay)
            else:
                state[KEY] = parameter.detach().clone()


@contextmanager
def averaged_weights(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The average in the place of the weights, which are put back on every way out."""
    exchange(optimizer)
    try:
        yield
    finally:
        exchange(optimizer)


@torch.no_grad()
def exchange(optimizer: torch.optim.Optimizer) -> None:
    """Swap weights and average."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            kept = parameter.detach().clone()
            parameter.copy_(state[KEY])
            state[KEY].copy_(kept)
