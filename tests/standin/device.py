"""`torch.device("standin")`: registered in this process, and what it counted.

It stays registered, and from then on PyTorch and Accelerate take it for this machine's accelerator.
So tests load it in a process of their own (`tests.standin.apart`).
"""

import ctypes
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tests.standin.build import library

TOTAL_BYTES = 2**33
CARD = "NVIDIA H100 80GB HBM3"
_library: ctypes.CDLL | None = None


def load() -> None:
    """Register the device, once; raises `NoCompilerError` where it can't be compiled."""
    global _library
    if _library is not None:
        return
    path = library()
    torch.utils.rename_privateuse1_backend("standin")
    torch.ops.load_library(path)
    _library = ctypes.CDLL(str(path))
    _library.standin_counts.restype = ctypes.c_char_p
    _library.standin_allocated.restype = _library.standin_peak.restype = ctypes.c_long
    _library.standin_install()
    torch._register_device_module("standin", _module())
    torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)
    import accelerate.state

    accelerate.state.PartialState.default_device = property(  # type: ignore[assignment]
        lambda _: torch.device("standin:0")
    )


def counts(event: str = "") -> dict[str, int]:
    """How often each event happened whose name starts so, since the last `clear`."""
    lines = _loaded().standin_counts().decode().splitlines()
    pairs = (line.split("\t") for line in lines)
    return {name: int(times) for times, name in pairs if name.startswith(event)}


def clear() -> None:
    """Count from zero."""
    _loaded().standin_clear()


def allocated() -> int:
    """Bytes of device memory in use."""
    return _loaded().standin_allocated()


@contextmanager
def memory_limit(n_bytes: int) -> Iterator[None]:
    """Allocations beyond so many bytes fail as CUDA's do."""
    _loaded().standin_set_limit(ctypes.c_long(n_bytes))
    try:
        yield
    finally:
        _loaded().standin_set_limit(ctypes.c_long(0))


@contextmanager
def device_error_after(n_operations: int) -> Iterator[None]:
    """The n-th operation from now fails and every later one too, as after a failed CUDA kernel."""
    _loaded().standin_fail_from(ctypes.c_long(n_operations))
    try:
        yield
    finally:
        _loaded().standin_fail_from(ctypes.c_long(0))


def break_for_good() -> None:
    """Every later operation fails, as after a failed CUDA kernel."""
    _loaded().standin_fail_from(ctypes.c_long(1))


def _loaded() -> ctypes.CDLL:
    assert _library is not None, "call load() first"
    return _library


class _Event:
    """Time of the host: the device is done with everything that was asked of it."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        return

    def elapsed_time(self, other: "_Event") -> float:
        return 1e3 * (other.at - self.at)


def _sync_debug_mode(mode: str) -> None:
    """CUDA raises at the wait itself; here it is raised when the mode is left."""
    if mode == "default":
        found = counts("wait")
        if found:
            raise RuntimeError(f"called a synchronizing operation: {found}")
    clear()


def _memory_fraction(fraction: float, device: object = None) -> None:
    limit = 0 if fraction >= 1 else int(fraction * TOTAL_BYTES)
    _loaded().standin_set_limit(ctypes.c_long(limit))


class _Device:
    """`torch.cuda.device`: there is one, so that nothing is switched."""

    def __init__(self, index: object) -> None:
        self.index = index

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        return


def _module() -> types.ModuleType:
    """`torch.standin`, with what PyTorch and Accelerate ask a device's module for."""
    module = types.ModuleType("torch.standin")
    answers = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "_is_in_bad_fork": lambda: False,
        "manual_seed": lambda _: None,
        "manual_seed_all": lambda _: None,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: None,
        "get_device_name": lambda device=None: CARD,
        "reset_peak_memory_stats": lambda device=None: _loaded().standin_reset_peak(),
        "max_memory_allocated": lambda device=None: _loaded().standin_peak(),
        "memory_allocated": lambda device=None: allocated(),
        "mem_get_info": lambda device=None: (TOTAL_BYTES - allocated(), TOTAL_BYTES),
        "set_per_process_memory_fraction": _memory_fraction,
        "set_sync_debug_mode": _sync_debug_mode,
        "empty_cache": lambda: None,
        "synchronize": lambda device=None: None,
        "is_bf16_supported": lambda including_emulation=True: True,
        "get_amp_supported_dtype": lambda: [torch.bfloat16, torch.float16],
        "Event": _Event,
        "device": _Device,
    }
    for name, answer in answers.items():
        setattr(module, name, answer)
    return module
