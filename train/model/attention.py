"""Causal attention on a CPU: softmax(Q K^T / sqrt(h)) V over the part of the square that counts.

PyTorch's CPU kernel computes much of the masked half of the scores at training lengths, and its
backward pass computes every score again. In blocks a few queries meet the keys up to their own end,
and the probabilities are kept: faster on some processors from some length on (`train.speed`).
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from train.config.kernels import LIBRARY, Kernels

BLOCK = 64
"""Queries that are computed together; a block sees at most BLOCK - 1 masked keys."""

MOST_SCORES = 2**23
"""Scores of a layer (rows x heads x T x T), half of which are kept: at most 16 MiB."""


def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, kernels: Kernels = LIBRARY
) -> Tensor:
    """Attention of every position to itself and those before it, scaled by head_dim^-0.5.

    Args:    query: (rows, heads, T, head_dim); key, value: the same, or fewer heads, each of which
             serves as many neighbouring heads of queries.
    Returns: (rows, heads, T, head_dim).
    """
    if not widens(kernels, query):
        return _attention(query, key, value, kernels)
    with torch.autocast("cpu", enabled=False):
        wide = _attention(query.float(), key.float(), value.float(), kernels)
        return wide.to(value.dtype)


def widens(kernels: Kernels, query: Tensor) -> bool:
    """Whether attention of a bfloat16 run is computed in float32, in which some CPUs are faster."""
    shortest = kernels.float32_attention_from
    on_cpu = query.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return on_cpu and shortest is not None and query.shape[2] >= shortest


def _attention(query: Tensor, key: Tensor, value: Tensor, kernels: Kernels) -> Tensor:
    shared = query.shape[1] // key.shape[1]
    if shared > 1 and query.device.type == "cpu":
        key, value = (tensor.repeat_interleave(shared, dim=1) for tensor in (key, value))
        shared = 1
    plain = query.dtype == torch.float32 and query.device.type == "cpu"
    eager = plain and not torch.compiler.is_compiling()
    if eager and _fits(query, kernels.blocks_from):
        flat = (tensor.flatten(0, 1) for tensor in (query, key, value))
        return _Blocked.apply(*flat).view(query.shape)  # type: ignore[union-attr]
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=shared > 1)


def _fits(query: Tensor, shortest: int | None) -> bool:
    rows, heads, length = query.shape[:3]
    if shortest is None or length < shortest:
        return False
    return rows * heads * length**2 <= MOST_SCORES


@lru_cache(maxsize=8)
def _mask(length: int) -> Tensor:
    """Minus infinity above the diagonal, float32 (length, length)."""
    return torch.full((length, length), -torch.inf).triu(1)


class _Blocked(Function):
    """Over (rows x heads, T, head_dim); with probabilities P, dS = P (dO V^T - rowsum(dO O))."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # type: ignore[override]
        length, scale = query.shape[1], query.shape[2] ** -0.5
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
        blocks = []
        for start in range(0, length, BLOCK):
            end = min(length, start + BLOCK)
            scores = torch.baddbmm(
                _mask(length)[start:end, :end],
                query[:, start:end],
                key[:, :end].transpose(1, 2),
                alpha=scale,
            )
            blocks.append(torch.softmax(scores, -1))
            out[:, start:end] = torch.bmm(blocks[-1], value[:, :end])
        ctx.save_for_backward(query, key, value, out, *blocks)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        query, key, value, out, *blocks = ctx.saved_tensors
        length, scale = query.shape[1], query.shape[2] ** -0.5
        for_query, for_key, for_value = (torch.zeros_like(x) for x in (query, key, value))
        delta = (grad * out).sum(-1, keepdim=True)
        for start, probability in zip(range(0, length, BLOCK), blocks, strict=True):
            end = min(length, start + BLOCK)
            here = grad[:, start:end]
            for_value[:, :end].baddbmm_(probability.transpose(1, 2), here)
            for_scores = torch.baddbmm(
                delta[:, start:end], here, value[:, :end].transpose(1, 2), beta=-1
            )
            for_scores.mul_(probability)
            for_query[:, start:end] = torch.bmm(for_scores, key[:, :end])
            for_key[:, :end].baddbmm_(for_scores.transpose(1, 2), query[:, start:end])
        return for_query.mul_(scale), for_key.mul_(scale), for_value
