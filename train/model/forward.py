"""The forward pass of a Hugging Face Llama over its own parameters, for training on a CPU.

The same function of the same weights in fewer operations: no mask tensors, caches or hooks, one
backward node a normalisation, and the products of `train.model.linear` and
`train.model.attention`. What is saved, loaded and evaluated stays a plain `LlamaForCausalLM`;
tests hold the two equal.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from transformers import LlamaForCausalLM

from train.model.attention import causal_attention
from train.model.linear import linear


def hidden_states(model: LlamaForCausalLM, tokens: Tensor) -> Tensor:
    """Hidden states after the last normalisation, (rows x T, d_model). Args: tokens (rows, T)."""
    decoder: Any = model.model  # torch types what a module holds as Tensor | Module
    config: Any = model.config
    rows, length = tokens.shape
    heads, head_dim = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    turn = _rotation(length, head_dim, config.rope_parameters["rope_theta"])
    x = F.embedding(tokens.flatten(), decoder.embed_tokens.weight)
    for layer in decoder.layers:
        attention, mlp = layer.self_attn, layer.mlp
        normal = _norm(x, layer.input_layernorm)
        query, key, value = (
            linear(normal, project.weight).view(rows, length, heads, head_dim).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        mixed = causal_attention(_rotate(query, *turn), _rotate(key, *turn), value)
        x = x + linear(mixed.transpose(1, 2).reshape(x.shape), attention.o_proj.weight)
        normal = _norm(x, layer.post_attention_layernorm)
        gate = F.silu(linear(normal, mlp.gate_proj.weight))
        x = x + linear(gate * linear(normal, mlp.up_proj.weight), mlp.down_proj.weight)
    return _norm(x, decoder.norm)


@lru_cache(maxsize=8)
def _rotation(length: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of positions 0 to length - 1, (length, head_dim) each, halves alike."""
    inverse = 1.0 / theta ** (torch.arange(0, head_dim, 2).float() / head_dim)
    angle = torch.arange(length)[:, None] * inverse.repeat(2)
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions of (rows, heads, T, head_dim), whose halves hold the pairs' two parts.

    Source:  Su et al. 2021, in the layout of Hugging Face's Llama.
    """
    first, second = x.chunk(2, -1)
    turned = x * cos + torch.cat((-second, first), -1) * sin
    return turned.to(x.dtype)


def _norm(x: Tensor, norm: Any) -> Tensor:
    """x / rms(x) * weight over the last dimension."""
    weight, eps = norm.weight, norm.variance_epsilon
    if torch.compiler.is_compiling():
        return F.rms_norm(x, x.shape[-1:], weight, eps)
    return _RmsNorm.apply(x, weight, eps)  # type: ignore[return-value]


class _RmsNorm(Function):
    """With n = x / rms(x): dx = (g w - n mean(g w n)) / rms(x), dw = sum(g n) over rows."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, eps: float) -> Tensor:  # type: ignore[override]
        mean_square = torch.linalg.vecdot(x, x).div_(x.shape[-1])
        inverse = mean_square.add_(eps).rsqrt_().unsqueeze(-1)
        normal = x * inverse
        ctx.save_for_backward(normal, weight, inverse)
        return normal * weight

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        normal, weight, inverse = ctx.saved_tensors
        product = grad * normal
        along = torch.mv(product, weight).div_(-normal.shape[-1]).unsqueeze(-1)
        for_x = torch.addcmul(grad * weight, normal, along).mul_(inverse)
        return for_x, product.sum(0), None
