"""What precision=auto comes to: bfloat16 autocast where it is there and pays, float32 elsewhere."""

from pathlib import Path

from train.config.spec import require

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Processor flags, as Linux lists them, of instructions that multiply matrices in bfloat16."""

PAYS_ON_CPU_FROM = 192
"""Width from which bfloat16 autocast is faster than float32 on a processor that has both: its casts
cost a narrow model more than its products gain (docs/performance.md)."""


def realised_precision(asked: str, device: str, d_model: int, launcher: str = "") -> str:
    """The precision that a run is planned and recorded with: `asked`, or for auto this machine's.

    Precision changes a run's numbers and is part of its identity, so that it is settled before the
    run is named, not where it happens to train. All runs of a sweep share one, so that no fit mixes
    two: `d_model` is then that of its widest model, which costs the most.
    Raises:  SpecError: auto for nodes that this machine need not resemble.
    """
    if asked != "auto":
        return asked
    require(
        launcher != "slurm",
        "precision=auto with launcher=slurm can't be told from here: it depends on the nodes; "
        "use precision=bf16 or precision=fp32",
    )
    return "bf16" if _bf16_pays(device, d_model) else "fp32"


def _bf16_pays(device: str, d_model: int) -> bool:
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        return False
    has_it = BF16_FLAGS & processor_flags(Path("/proc/cpuinfo"))
    return bool(has_it) and d_model >= PAYS_ON_CPU_FROM


def processor_flags(cpuinfo: Path) -> set[str]:
    """The flags of a processor; none where the system does not list them."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
