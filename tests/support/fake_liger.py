"""liger-kernel's functional interface in plain PyTorch, as its release 0.8.5 documents it.

The value includes the z-loss, which is also given apart, without a gradient.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

NAME = "liger_kernel.transformers.functional"
"""What takes its place in `sys.modules`."""

calls: list[str] = []


@dataclass
class CrossEntropyOutput:
    loss: torch.Tensor
    z_loss: torch.Tensor


def liger_fused_linear_cross_entropy(
    input: torch.Tensor,
    weight: torch.Tensor,
    target: torch.Tensor,
    bias: torch.Tensor | None = None,
    ce_weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    lse_square_scale: float = 0.0,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    softcap: float | None = None,
    return_z_loss: bool = False,
    accum_dtype: torch.dtype | None = None,
    use_token_scaling: bool = False,
    return_token_accuracy: bool = False,
    return_predicted_tokens: bool = False,
    chunk_mem_const: int = 1,
) -> torch.Tensor | CrossEntropyOutput:
    calls.append(reduction)
    logits = F.linear(input, weight).float()
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    loss = F.cross_entropy(logits, target, reduction=reduction, ignore_index=ignore_index)
    squares = torch.logsumexp(logits, -1).square() * (target != ignore_index)
    z_loss = lse_square_scale * squares.sum()
    if not return_z_loss:
        return loss + z_loss
    return CrossEntropyOutput(loss + z_loss, z_loss.detach())
