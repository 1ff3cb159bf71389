"""Which FlashAttention serves PyTorch's attention on a GPU: its own, or a newer one installed."""

import logging

import torch
from torch.nn import attention

OWN = "own"

log = logging.getLogger(__name__)


def use_flash(asked: str, device: str) -> str:
    """Choose for this process, of which an earlier run may have chosen another; returns the choice.

    What can't be had is logged, and PyTorch's own kernels go on.

    Args:    asked: own, FA3 or FA4, by the names of `torch.nn.attention`; device: cuda, cpu, ...
    """
    if flash_in_use() != OWN:
        attention.restore_flash_attention_impl()
    if asked == OWN:
        return OWN
    try:
        if device != "cuda":
            raise RuntimeError(f"it needs CUDA, and this run is on {device}")
        if not hasattr(attention, "activate_flash_attention_impl"):
            raise RuntimeError(f"torch {torch.__version__} has its own alone")
        attention.activate_flash_attention_impl(asked)
    except (ImportError, RuntimeError, ValueError) as error:
        log.warning("runtime.flash=%s: %s; attention is by PyTorch's own kernels", asked, error)
    return flash_in_use()


def flash_in_use() -> str:
    """The implementation that this process has chosen."""
    current = getattr(attention, "current_flash_attention_impl", lambda: None)()
    return current or OWN
