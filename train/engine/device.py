"""Where a run computes: device, precision, ranks, peak speed, and how much memory it took."""

import os
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from train.config.gpu_peaks import peak_bf16_flops
from train.config.run_config import RuntimeSpec
from train.config.spec import IsoflopError, RunSpec


class DeviceError(IsoflopError):
    """A device that is asked for and not there."""


def make_accelerator(runtime: RuntimeSpec, precision: str) -> Accelerator:
    """An Accelerator for this run alone; a warm worker's earlier settings are forgotten.

    Raises:  DeviceError: the device is not available, or FSDP of the first version is asked for.
    """
    _require_device(runtime.device)
    torch.set_num_threads(runtime.threads)
    if runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(runtime.deterministic)
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        cpu=runtime.device == "cpu" or not _has_accelerator(),
        mixed_precision="bf16" if precision == "bf16" else "no",
    )
    _require_per_parameter_shards(accelerator)
    return accelerator


def peak_flops(device: torch.device, spec: RunSpec) -> float | None:
    """Peak FLOP/s of a known GPU under the run's precision; None where it is not known."""
    if device.type != "cuda" or spec.precision != "bf16":
        return None
    return peak_bf16_flops(torch.cuda.get_device_name(device))


def device_name(device: torch.device) -> str:
    """What the record says: cpu, mps, or the GPU's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def reset_peak_memory(device: torch.device) -> None:
    """Start measuring anew, so that a warm worker reports this run's peak alone."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_bytes(device: torch.device) -> int | None:
    """Highest memory since `reset_peak_memory`: the device's on CUDA, resident memory elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next((row for row in status.splitlines() if row.startswith("VmHWM:")), None)
    return int(line.split()[1]) * 1024 if line else None


def _has_accelerator() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _require_per_parameter_shards(accelerator: Accelerator) -> None:
    """FSDP's first version flattens parameters together, and states are saved by parameter."""
    if accelerator.distributed_type == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise DeviceError(
            "FSDP version 1 is asked for, and states can be saved under version 2 alone; "
            "use accelerate launch --use_fsdp --fsdp_version 2"
        )


def _require_device(device: str) -> None:
    available = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if device in available and not available[device]():
        raise DeviceError(
            f"runtime.device={device} is not available here (torch {torch.__version__}); "
            f"use runtime.device=auto, or install a torch build for it"
        )
