"""Cross-entropy of a head's logits, a chunk of positions at a time."""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from train.model.labels import IGNORED

CHUNK_LOGITS = 2**26
"""Logits that lie in memory together, in float32 256 MiB; 32 rows of 1,024 tokens over GPT-2's
vocabulary would take 6.6 GB, and as much again for their gradient."""

ALIGNED_TO = 64
"""Columns of logits are a multiple of this: tensor cores want rows of products that begin at
multiples of 16 bytes, and GPT-2's vocabulary of 50,257 is odd. The columns added exist in these
products alone, not in the weights, the count of parameters, the loss or a checkpoint."""


class HeadLoss(Protocol):
    """A head's product and its loss in one: `chunked_loss`, or `train.model.liger`."""

    def __call__(
        self,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        *,
        z_loss: float = ...,
        softcap: float | None = ...,
    ) -> Tensor: ...


def chunked_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    chunk_logits: int = CHUNK_LOGITS,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> Tensor:
    """Negative log-likelihood of the labels, summed, in nats; what is IGNORED counts nothing.

    The gradient is computed with the loss, while a chunk's logits are there, instead of computing
    them again later. Under autocast the products are in its type and sums in float32, as without
    chunks.

    Args:    hidden: (n, d); weight: (vocabulary, d); labels: int64 (n,); chunk_logits: the most
             logits at a time, at least one position's; z_loss: weight in the gradient, not in the
             value, of the squared log-sum-exp; softcap: c of c tanh(logits / c).
    """
    rows = max(1, chunk_logits // (weight.shape[0] + -weight.shape[0] % ALIGNED_TO))
    learns = torch.is_grad_enabled()  # which `needs_input_grad` does not say
    return _ChunkedLoss.apply(  # type: ignore[no-any-return]
        hidden, weight, labels, rows, learns, z_loss, softcap
    )


class _ChunkedLoss(Function):
    """With p = softmax(h W^T): d logits = p - onehot(label), dh = d logits W, dW = d logits^T h.

    A z-loss z adds 2 z logsumexp p to d logits; a cap c multiplies them by 1 - (logits / c)^2.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        rows: int,
        learns: bool,
        z_loss: float,
        softcap: float | None,
    ) -> Tensor:
        learns = learns and any(ctx.needs_input_grad)
        kind, vocabulary = hidden.device.type, weight.shape[0]
        autocast = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if autocast else hidden.dtype
        wide = F.pad(weight.to(dtype), (0, 0, 0, -vocabulary % ALIGNED_TO))
        total = torch.zeros((), device=hidden.device, dtype=torch.float32)
        hidden_grads: list[Tensor] = []
        weight_grad = torch.zeros_like(wide, dtype=torch.float32) if learns else None
        for start in range(0, hidden.shape[0], rows):
            part, wanted = hidden[start : start + rows].to(dtype), labels[start : start + rows]
            logits, counts = F.linear(part, wide).float(), (wanted != IGNORED).unsqueeze(1)
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            logits[:, vocabulary:] = -torch.inf
            index = wanted.clamp_min(0).unsqueeze(1)
            normaliser = torch.logsumexp(logits, -1, keepdim=True)
            total = total + ((normaliser - logits.gather(1, index)) * counts).sum()
            if weight_grad is None:
                continue
            grad = (logits - normaliser).exp() * counts
            if z_loss:
                grad = grad * (1 + 2 * z_loss * normaliser)
            grad = grad.scatter_add(1, index, -counts.float())
            if softcap is not None:
                slope = 1 - (logits / softcap).square()
                slope[:, vocabulary:] = 0
                grad = grad * slope
            grad = grad.to(dtype)
            hidden_grads.append((grad @ wide).to(hidden.dtype))
            weight_grad = weight_grad + grad.t() @ part
        for_weight = None if weight_grad is None else weight_grad[:vocabulary]
        ctx.save_for_backward(torch.cat(hidden_grads) if hidden_grads else None, for_weight)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        for_hidden, for_weight = ctx.saved_tensors
        return (
            None if for_hidden is None else for_hidden * grad.to(for_hidden.dtype),
            None if for_weight is None else for_weight * grad,
            None,
            None,
            None,
            None,
            None,
        )
