"""Batches that fit into memory: an estimate to start from, halved where it was too much."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from eval.tasks.generated import TaskError

ON_CPU = 8192
"""Tokens of a batch on a processor at most: more spill out of its caches and are slower."""

PASS_ON_CPU = 2048
"""Tokens read in one pass there, where none wait for their turn to be decoded (docs/evaluation.md
has how long other sizes took)."""

ON_GPU = 262_144
SHARE = 0.5
"""Of the free memory: the estimate leaves out what the allocator and attention itself take."""

_SPOKEN = ("can't allocate memory", "not enough memory", "out of memory")


def batch_tokens(model: Any, asked: int | None, on_cpu: int = ON_CPU) -> int:
    """Tokens of a batch: what was asked for, else as many as free memory is estimated to hold."""
    if asked is not None:
        return asked
    device = model.device
    most = on_cpu if device.type == "cpu" else ON_GPU
    free = free_bytes(device)
    return most if free is None else max(256, min(most, int(SHARE * free / token_bytes(model))))


def token_bytes(model: Any) -> int:
    """Memory of one token of a batch: its keys and values, a layer's activations, some logits."""
    config, size = model.config, torch.finfo(model.dtype).bits // 8
    hidden = int(getattr(config, "hidden_size", 0) or 1024)
    inner = int(getattr(config, "intermediate_size", 0) or 4 * hidden)
    layers = int(getattr(config, "num_hidden_layers", 0) or 24)
    # Each head has keys and values of its own at most. A layer holds a dozen arrays at once.
    return size * (2 * layers * hidden + 12 * hidden + 3 * inner) + 4 * int(config.vocab_size) // 8


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a device, on a processor within the process's own limit; None: not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        return min(free, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no such limit, which is written as "max"
        return free


def in_batches(n: int, end_of: Callable[[int, float], int], run: Callable[[int, int], None]) -> int:
    """Run start..end until all n are done, with half as many from where memory did not suffice.

    Args:
        end_of: (start, share of the usual size) -> end of the batch, at least start + 1.
        run: Does start..end; called again with less where it ran out of memory.

    Returns: How often a batch was halved.
    Raises:  TaskError: even one item does not fit.
    """
    start, halved = 0, 0
    while start < n:
        end = end_of(start, 0.5**halved)
        try:
            run(start, end)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if end - start == 1:
                raise TaskError(
                    "memory does not suffice for one item alone; use dtype=bfloat16, a shorter "
                    "prompt, device=cpu or another device"
                ) from error
        else:
            start = end
            continue
        # Behind the handler, since the exception holds the frames whose tensors are to be freed.
        halved += 1
        while end > start + 1 and end_of(start, 0.5**halved) >= end:
            halved += 1  # the same batch would fail again
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return halved


def rows_within(n: int, usual: float) -> Callable[[int, float], int]:
    """Ends of batches of `usual` rows for `in_batches`, at least one row each."""
    return lambda start, share: min(n, start + max(1, int(share * usual)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; a processor's allocator raises a plain one."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _SPOKEN)
