"""What precision=auto comes to: bfloat16 autocast where it was faster here, float32 elsewhere."""

from pathlib import Path

from train.config.spec import require
from train.speed.machine import measured_table
from train.speed.table import bf16_pays

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Processor flags, as Linux lists them, of instructions that multiply matrices in bfloat16."""


def realised_precision(
    asked: str, device: str, d_model: int, launcher: str = "", threads: int = 1
) -> str:
    """The precision that a run is planned and recorded with: `asked`, or for auto this machine's.

    Precision changes a run's numbers and is part of its identity, so that it is settled before the
    run is named, not where it happens to train. All runs of a sweep share one, so that no fit mixes
    two: `d_model` is then that of its widest model, which costs the most. On a CPU that has such
    instructions auto measures the machine, once (`train.speed.machine`).
    Raises:  SpecError: auto for nodes that this machine need not resemble.
    """
    if asked != "auto":
        return asked
    require(
        launcher != "slurm",
        "precision=auto with launcher=slurm can't be told from here: it depends on the nodes; "
        "use precision=bf16 or precision=fp32",
    )
    return "bf16" if _bf16_pays(device, d_model, threads) else "fp32"


def _bf16_pays(device: str, d_model: int, threads: int) -> bool:
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        return False
    if not BF16_FLAGS & processor_flags(Path("/proc/cpuinfo")):
        return False
    table = measured_table(threads)
    return table is not None and bf16_pays(table, d_model)


def processor_flags(cpuinfo: Path) -> set[str]:
    """The flags of a processor; none where the system does not list them."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
