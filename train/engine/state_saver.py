"""Saved states of a run that trains on a GPU: copied to the host, then written while it goes on.

A state of 757M parameters is 9 GB, which takes a disk longer than many steps. The copies lie in
pinned memory, which the device fills on its own, in the order of its other work: a state holds the
weights of its step though the loop never waits. All that is written appears whole or not at all, as
without a thread, so that a process that is killed meanwhile leaves the state before.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from train.engine.checkpoint import StateTensors, TrainerState, save_state, write_state
from train.engine.device import has_own_memory
from train.model.fsdp import on_device, optimizer_tensors


class StateSaver:
    """Saves states of one model and optimiser, one at a time, the next once the last is written."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._device = next(model.parameters()).device
        self._buffers: dict[str, Tensor] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None

    def save(self, root: Path, state: TrainerState) -> None:
        """Write `root/step-N`; from a device with its own memory after this has returned.

        Raises:  CheckpointError: this state could not be written, or the one before.
        """
        if not has_own_memory(self._device):
            save_state(root, self._model, self._optimizer, state)
            return
        self.wait()
        weights = {n: self._copy(n, on_device(p)) for n, p in self._model.named_parameters()}
        moments = {
            name: self._copy(f"moment {name}", on_device(value))
            for name, value in optimizer_tensors(self._model, self._optimizer).items()
        }
        tensors = StateTensors(weights, moments, torch.get_rng_state())
        copied = torch.get_device_module(self._device).Event()
        copied.record()

        def write() -> None:
            copied.synchronize()
            write_state(root, tensors, state)

        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="states")
        self._writing = self._thread.submit(write)

    def wait(self) -> None:
        """Wait until nothing is being written.

        Raises:  CheckpointError: the state could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Wait, though the state may fail, and let go of the copies."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        self._buffers.clear()

    def _copy(self, name: str, tensor: Tensor) -> Tensor:
        """A tensor's copy in pinned memory, which every state uses again."""
        if name not in self._buffers:
            self._buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return self._buffers[name].copy_(tensor, non_blocking=True)
