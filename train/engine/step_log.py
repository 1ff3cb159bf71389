"""What a line of metrics.jsonl says beside the losses, read from the device together with them."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from train.config.spec import RunSpec, known
from train.engine.device import peak_flops, peak_memory_bytes
from train.model.fsdp import on_device

SPIKE_STEPS, SPIKE_DEVIATIONS = 1000, 7.0
"""A loss spike is a step's loss at least so many standard deviations above the mean of so many
steps before it.

Source: the spike score of OLMo 2 (arXiv:2501.00656), the share of values that lie at least seven
standard deviations off a rolling average of the last 1000. A fall is no spike, so it isn't counted.
"""

LEAST_STEPS = 100
"""Steps that a deviation is estimated from at least; a run's first ones are not judged."""


@dataclass(frozen=True)
class Numbers:
    """The window's mean loss, each step's, and norms at its end, as plain numbers."""

    mean: float
    losses: list[float]
    grad_norm: float
    weight_norm: float


def read_numbers(
    window: list[Tensor],
    grad_norm: Tensor,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
) -> Numbers:
    """Every number of a line in one read, which is the loop's only wait for the device.

    Args:    window: this rank's shares of the losses since the last line; grad_norm: the L2 norm of
             the last step's gradient before it was clipped, the same on every rank.
    """
    stacked = torch.stack(window)
    losses = accelerator.reduce(torch.cat([stacked.mean()[None], stacked]), reduction="sum")
    assert isinstance(losses, Tensor)  # reduce keeps the type that it is given
    weights = [one.detach() for group in optimizer.param_groups for one in group["params"]]
    norms = [grad_norm, torch.nn.utils.get_total_norm(weights)]
    parts = [losses, *(on_device(norm)[None].to(losses) for norm in norms)]
    mean, *rest, of_gradient, of_weights = torch.cat(parts).tolist()
    return Numbers(mean, rest, of_gradient, of_weights)


def count_spikes(before: list[float], losses: list[float]) -> tuple[int, list[float]]:
    """How many of the next losses are spikes, and the last `SPIKE_STEPS` losses after them.

    Args:    before: the losses of earlier steps that `losses` are held against, in order.
    """
    values, n_before = np.array([*before, *losses]), len(before)
    n_spikes = 0
    for place in range(max(n_before, LEAST_STEPS), len(values)):
        earlier = values[max(0, place - SPIKE_STEPS) : place]
        limit = earlier.mean() + SPIKE_DEVIATIONS * earlier.std()
        n_spikes += bool(values[place] >= limit and values[place] > earlier.mean())
    return n_spikes, values[-SPIKE_STEPS:].tolist()


class Speed:
    """Tokens per second and MFU since the last line, without evaluations and compiling."""

    def __init__(self, spec: RunSpec, device: torch.device, n_devices: int, flops: float) -> None:
        """`flops` per token; the peak is looked up once."""
        peak = peak_flops(device, spec)
        self._peak = None if peak is None else peak * n_devices
        self._device, self._flops = device, flops
        self._batch_tokens = known(spec.optim.batch_tokens, "optim.batch_tokens")
        self._steps, self._since = 0, time.perf_counter()

    def step(self) -> None:
        """Count a step."""
        self._steps += 1

    def restart(self) -> None:
        """Count from here: the time until now was no training."""
        self._steps, self._since = 0, time.perf_counter()

    def columns(self) -> dict[str, float]:
        """The line's throughput/ columns; MFU only where the device's peak is known."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        speed = self._steps * self._batch_tokens / seconds
        memory = peak_memory_bytes(self._device)
        found: dict[str, float | None] = {
            "throughput/tokens_per_second": speed,
            "throughput/mfu": None if self._peak is None else speed * self._flops / self._peak,
            "throughput/peak_memory_bytes": memory,
        }
        return {name: value for name, value in found.items() if value is not None}
