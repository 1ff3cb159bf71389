"""Head and loss by Liger Kernel's fused product and cross-entropy, an optional extra."""

from importlib import import_module

import torch
from torch import Tensor

from train.model.labels import IGNORED
from train.model.loss import HeadLoss, chunked_loss


def head_loss(by_liger: bool) -> HeadLoss:
    """What computes head and loss on a GPU."""
    return liger_loss if by_liger else chunked_loss


def liger_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> Tensor:
    """What `chunked_loss` computes, by Triton kernels; CUDA and liger-kernel are needed.

    Liger asks the device how many labels count and how the loss is scaled, so that each pass waits
    for it twice, and it can be no part of a compiled graph. Its logits have as many columns as the
    vocabulary, not padded to a multiple of 64.

    Args:    as of `train.model.loss.chunked_loss`.
    Source:  Hsu et al. 2024, Liger Kernel; the functional interface of liger-kernel 0.8.
    """
    return _fused(hidden, weight, labels, z_loss, softcap)  # type: ignore[call-arg]


@torch.compiler.disable
def _fused(
    hidden: Tensor, weight: Tensor, labels: Tensor, z_loss: float, softcap: float | None
) -> Tensor:
    fused = import_module("liger_kernel.transformers.functional").liger_fused_linear_cross_entropy
    settings = {"ignore_index": IGNORED, "reduction": "sum", "softcap": softcap}
    if not z_loss:
        return fused(hidden, weight, labels, **settings)
    found = fused(hidden, weight, labels, lse_square_scale=z_loss, return_z_loss=True, **settings)
    return found.loss - found.z_loss.detach()  # the value is the log-likelihood alone
