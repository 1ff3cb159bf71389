"""Loops for `benchmarks.metronome`, in a module that a process of its own can import."""

from typing import Any

import torch


def steps(request: dict[str, Any]) -> None:
    """Optimiser steps without an end."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    while True:
        weight.grad = torch.ones(2)
        optimizer.step()


def fails(request: dict[str, Any]) -> None:
    raise ValueError(f"no loop for {request['what']}")
