"""Where a run computes: device, precision, ranks, peak speed, and how much memory it took."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch.cuda.nccl import version as nccl_version
from torch.distributed.fsdp import MixedPrecisionPolicy

from train.config.gpu_peaks import peak_bf16_flops
from train.config.run_config import RuntimeSpec
from train.config.spec import IsoflopError, RunSpec

DRIVER_VERSION = Path("/sys/module/nvidia/version")
"""Where Linux shows the version of NVIDIA's driver."""


class DeviceError(IsoflopError):
    """A device that is asked for and not there."""


def make_accelerator(runtime: RuntimeSpec, precision: str) -> Accelerator:
    """An Accelerator for this run alone; a warm worker's earlier settings are forgotten.

    The device is one of them: Accelerate keeps the first for the whole process. Ranks keep theirs,
    which come with the process group.

    Raises:  DeviceError: the device is not available, or FSDP of the first version is asked for.
    """
    _require_device(runtime.device)
    torch.set_num_threads(runtime.threads)
    if runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(runtime.deterministic)
    torch.backends.cuda.matmul.fp32_precision = "tf32" if runtime.tf32 else "ieee"
    # Blocks that can grow leave fewer gaps too small for the next; read when the device is first
    # used, and left alone where somebody has set it, also under its former name.
    if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & set(os.environ):
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    accelerator = Accelerator(
        cpu=runtime.device == "cpu" or not torch.accelerator.is_available(),
        mixed_precision="bf16" if precision == "bf16" else "no",
        # The buffers are constants that every rank computes alike.
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        ],
    )
    _require_per_parameter_shards(accelerator)
    if accelerator.is_fsdp2 and precision == "bf16":
        # Accelerate's own policy also returns and reduces in bfloat16, which rounds the loss and
        # sums of gradients to 8 bits.
        plugin: Any = accelerator.state.fsdp_plugin
        plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.float32
        )
    return accelerator


@contextmanager
def released(accelerator: Accelerator) -> Iterator[None]:
    """At the end of the block nothing holds what the Accelerator has prepared in it.

    For bfloat16 Accelerate puts a bound `forward` into the module itself, a cycle of references
    that would keep a run's weights on the device until Python happens to look for cycles.
    """
    try:
        yield
    finally:
        for model in accelerator._models:
            for module in model.modules():
                if vars(module).pop("_original_forward", None) is not None:
                    vars(module).pop("forward", None)
        for kept in (accelerator._models, accelerator._optimizers):
            kept.clear()


def peak_flops(device: torch.device, spec: RunSpec) -> float | None:
    """Peak FLOP/s of a known GPU under the run's precision; None where it is not known."""
    return peak_bf16_flops(device_name(device)) if spec.precision == "bf16" else None


def device_name(device: torch.device) -> str:
    """What the record says: cpu, mps, or the GPU's own name."""
    return _module(device).get_device_name(device) if has_own_memory(device) else device.type


def device_versions(device: torch.device) -> dict[str, Any]:
    """Versions of what computes on a CUDA device, by the record's names; all None elsewhere."""
    names = ("cuda_version", "cudnn_version", "nccl_version", "driver_version")
    if device.type != "cuda":
        return dict.fromkeys(names)
    cudnn = torch.backends.cudnn.version()
    nccl = nccl_version() if torch.distributed.is_nccl_available() else ()
    found = (
        torch.version.cuda,
        None if cudnn is None else str(cudnn),
        ".".join(map(str, nccl)) or None,
        _driver_version(DRIVER_VERSION),
    )
    return dict(zip(names, found, strict=True))


def _driver_version(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def has_own_memory(device: torch.device) -> bool:
    """Whether data is copied to the device, which computes while the host goes on (a GPU)."""
    return device.type not in ("cpu", "mps")


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything that was asked of it."""
    if has_own_memory(device):
        _module(device).synchronize()


def release_cached_memory() -> None:
    """Give freed blocks back to the accelerator, so that larger ones can be cut from them."""
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is not None:
        _module(device).empty_cache()


def is_usable() -> bool:
    """Whether this process can compute on its accelerator; True where there is none.

    After a failed kernel CUDA refuses every later call of the process, for good.
    """
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        return True
    try:
        return bool(torch.ones(2, device=device).sum() == 2)
    except torch.OutOfMemoryError:
        return True
    except RuntimeError:
        return False


def reset_peak_memory(device: torch.device) -> None:
    """Start measuring again, so that a warm worker reports this run's peak alone."""
    if has_own_memory(device):
        _module(device).reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_bytes(device: torch.device) -> int | None:
    """Highest memory since `reset_peak_memory`: a GPU's own, resident memory elsewhere."""
    if has_own_memory(device):
        return _module(device).max_memory_allocated(device)
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next((row for row in status.splitlines() if row.startswith("VmHWM:")), None)
    return int(line.split()[1]) * 1024 if line else None


def _module(device: torch.device) -> ModuleType:
    """`torch.cuda` or what another kind of accelerator has in its place."""
    return torch.get_device_module(device)


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
