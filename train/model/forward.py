"""The forward pass of Hugging Face's Llama, Qwen3, OLMo 2 and GPT-2 over their own parameters.

The same function of the same weights in fewer operations: no mask tensors, caches or hooks, and on
a CPU the products of `train.model.linear` and `train.model.attention`. Traced it is one graph whose
attention is causal by a flag: transformers hands a mask over when traced, which rules out flash
attention, and asks the device a question at every call, which waits for it. What is saved, loaded
and evaluated stays a plain Hugging Face model; tests hold the two equal.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from transformers import (
    DynamicCache,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    Olmo2ForCausalLM,
    PreTrainedModel,
    Qwen3ForCausalLM,
)
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.olmo2.modeling_olmo2 import Olmo2DecoderLayer
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from train.config.kernels import LIBRARY, Kernels
from train.model.attention import causal_attention, widens
from train.model.linear import linear

_FOLLOWED = {
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings"),
    *("n_positions", "n_ctx", "n_embd", "n_layer", "n_head", "n_inner", "layer_norm_epsilon"),
    *("activation_function", "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id"),
    *("use_cache", "architectures", "dtype", "transformers_version", "name_or_path"),
    "_name_or_path",
}
"""Settings of a configuration that `hidden_states` follows, or that change no hidden state."""

_ASKED = {"head_dim", "rope_parameters", "layer_types", "max_window_layers", "sliding_window"}
_DROPOUTS = {"resid_pdrop", "embd_pdrop", "attn_pdrop"}


def is_plain(model: PreTrainedModel) -> bool:
    """Whether a model's configuration asks for nothing that `hidden_states` leaves out.

    Any setting that is not known to be followed has to have its class's default, so that one which
    a later transformers adds (biases, scaled rotary positions, windows, dropout are there today)
    sends a model through its own forward pass instead of through another function. So does a part
    that is of neither torch nor transformers (an adapter, a quantised layer, a checkpoint's own
    code) or has a hook, since parts are not called here.
    """
    if not all(_may_be_left_uncalled(part) for part in model.modules()):
        return False
    settings = model.config.to_dict()
    usual = type(model.config)().to_dict()
    left = settings.keys() - _FOLLOWED - _ASKED - _DROPOUTS
    if any(settings[name] != usual.get(name) for name in left):
        return False
    if any(settings.get(name) for name in _DROPOUTS):
        return False
    if isinstance(model, GPT2LMHeadModel):
        return True
    rope = settings.get("rope_parameters") or {}
    heads = settings.get("num_attention_heads")
    return (
        rope.keys() == {"rope_type", "rope_theta"}
        and rope["rope_type"] == "default"
        and bool(heads)
        and settings.get("head_dim", 0) in (0, None, settings["hidden_size"] // heads)
        and set(settings.get("layer_types") or ()) <= {"full_attention"}
    )


def _may_be_left_uncalled(part: Any) -> bool:
    known_code = type(part).__module__.startswith(("torch.nn.modules.", "transformers."))
    return known_code and not part._forward_hooks and not part._forward_pre_hooks


def computes(model: PreTrainedModel, device: torch.device) -> bool:
    """Whether `hidden_states` takes the place of a plain model's own forward pass on a device.

    Not where FSDP has put classes of its own in place of the layers, which have to be called, and
    not for a GPT-2 on a CPU, whose runs keep the bits that they have always had.
    """
    parts: Any = model
    if isinstance(model, LlamaForCausalLM | Qwen3ForCausalLM | Olmo2ForCausalLM):
        kinds = (LlamaDecoderLayer, Qwen3DecoderLayer, Olmo2DecoderLayer)
        return all(type(layer) in kinds for layer in parts.model.layers)
    if isinstance(model, GPT2LMHeadModel) and device.type != "cpu":
        return all(type(block) is GPT2Block for block in parts.transformer.h)
    return False


def hidden_states(
    model: PreTrainedModel,
    tokens: Tensor,
    kernels: Kernels = LIBRARY,
    turn: tuple[Tensor, Tensor] | None = None,
    cache: DynamicCache | None = None,
) -> Tensor:
    """Hidden states after the last normalisation, (rows x T, d_model).

    Args:    tokens: (rows, T); turn: the model's `rotation`, computed here where it is not given;
             cache: keys and values of what stands before `tokens`, which is extended by theirs.
             GPT-2 takes none.
    """
    if isinstance(model, GPT2LMHeadModel):
        assert cache is None
        return _gpt2(model, tokens)
    return _llama(model, tokens, kernels, turn, cache)


def rotation(model: PreTrainedModel) -> tuple[Tensor, Tensor] | None:
    """Cosines and sines of every position, (longest context, head_dim) each; None without them.

    For whoever traces `hidden_states`: a compiler that is given their formula computes both again
    for every element of every layer, in the backward pass too, most of a small model's step.
    """
    if not isinstance(model, LlamaForCausalLM | Qwen3ForCausalLM | Olmo2ForCausalLM):
        return None  # GPT-2 learns its positions
    longest = model.config.max_position_embeddings
    return _rotation(longest, *_head_dim_and_theta(model.config), torch.device("cpu"))


def _head_dim_and_theta(config: Any) -> tuple[int, float]:
    head_dim = config.hidden_size // config.num_attention_heads
    return head_dim, config.rope_parameters["rope_theta"]


def _llama(
    model: PreTrainedModel,
    tokens: Tensor,
    kernels: Kernels,
    turn: tuple[Tensor, Tensor] | None,
    cache: DynamicCache | None,
) -> Tensor:
    decoder: Any = model.model  # torch types what a module holds as Tensor | Module
    rows, length = tokens.shape
    read = 0 if cache is None else cache.get_seq_length()
    normalises, after = isinstance(model, Qwen3ForCausalLM), isinstance(model, Olmo2ForCausalLM)
    head_dim, theta = _head_dim_and_theta(model.config)
    if turn is None:
        # Kept on a CPU alone: on a GPU it would outlive the run.
        keeps = tokens.device.type == "cpu" and not torch.compiler.is_compiling()
        # A cache grows by a token at a time, and so do the positions that are asked for.
        longest = length if cache is None else 2 ** (read + length - 1).bit_length()
        turn = (_kept_rotation if keeps else _rotation)(longest, head_dim, theta, tokens.device)
    turn = turn[0][read : read + length], turn[1][read : read + length]
    x = F.embedding(tokens.flatten(), decoder.embed_tokens.weight)
    for number, layer in enumerate(decoder.layers):
        attention, mlp = layer.self_attn, layer.mlp
        normal = x if after else _norm(x, layer.input_layernorm)
        query, key, value = (
            linear(normal, project.weight, kernels)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if after:  # OLMo 2 normalises all heads together, and what its branches add
            query, key = _norm(query, attention.q_norm), _norm(key, attention.k_norm)
        query, key, value = (part.view(-1, head_dim) for part in (query, key, value))
        if normalises:
            query, key = _norm(query, attention.q_norm), _norm(key, attention.k_norm)
        query, key, value = (
            part.view(rows, length, -1, head_dim).transpose(1, 2) for part in (query, key, value)
        )
        dtype = torch.float32 if widens(kernels, query) else query.dtype
        query, key = (_rotate(part, *turn).to(dtype) for part in (query, key))
        if cache is None:
            mixed = causal_attention(query, key, value, kernels)
        else:
            mixed = _attention_behind(query, *cache.update(key, value, number))
        mixed = linear(mixed.transpose(1, 2).reshape(x.shape), attention.o_proj.weight, kernels)
        x = x + (_norm(mixed, layer.post_attention_layernorm) if after else mixed)
        normal = x if after else _norm(x, layer.post_attention_layernorm)
        gate = F.silu(linear(normal, mlp.gate_proj.weight, kernels))
        wide = gate * linear(normal, mlp.up_proj.weight, kernels)
        wide = linear(wide, mlp.down_proj.weight, kernels)
        x = x + (_norm(wide, layer.post_feedforward_layernorm) if after else wide)
    return _norm(x, decoder.norm)


def _attention_behind(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of the last positions to themselves and to all before them.

    Args:    query: (rows, heads, T, head_dim); key, value: of all positions, with as many heads or
             fewer, each of which serves as many neighbouring heads of queries.
    """
    new, known = query.shape[2], key.shape[2]
    shared = query.shape[1] // key.shape[1]
    if 1 < new < known:  # a flag would put the square of what is seen at the upper left
        seen = torch.ones(new, known, dtype=torch.bool, device=query.device).tril(known - new)
        return F.scaled_dot_product_attention(query, key, value, seen, enable_gqa=shared > 1)
    return F.scaled_dot_product_attention(
        query, key, value, is_causal=new > 1, enable_gqa=shared > 1
    )


def _gpt2(model: PreTrainedModel, tokens: Tensor) -> Tensor:
    decoder: Any = model.transformer
    rows, length = tokens.shape
    x = F.embedding(tokens, decoder.wte.weight) + decoder.wpe.weight[:length]
    x = x.flatten(0, 1)
    for block in decoder.h:
        attention, mlp = block.attn, block.mlp
        mixed = _affine(_layer_norm(x, block.ln_1), attention.c_attn)
        query, key, value = (
            part.view(rows, length, attention.num_heads, attention.head_dim).transpose(1, 2)
            for part in mixed.split(x.shape[-1], dim=-1)
        )
        mixed = causal_attention(query, key, value).transpose(1, 2).reshape(x.shape)
        x = x + _affine(mixed, attention.c_proj)
        wide = mlp.act(_affine(_layer_norm(x, block.ln_2), mlp.c_fc))
        x = x + _affine(wide, mlp.c_proj)
    return _layer_norm(x, decoder.ln_f)


def _affine(x: Tensor, conv: Any) -> Tensor:
    """GPT-2's linear map, whose weight is stored (in, out)."""
    return torch.addmm(conv.bias, x, conv.weight)


def _layer_norm(x: Tensor, norm: Any) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


def _rotation(
    length: int, head_dim: int, theta: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of positions 0 to length - 1, (length, head_dim) each, halves alike."""
    inverse = 1.0 / theta ** (torch.arange(0, head_dim, 2, device=device).float() / head_dim)
    angle = torch.arange(length, device=device)[:, None] * torch.cat((inverse, inverse))
    return angle.cos(), angle.sin()


@lru_cache(maxsize=8)
def _kept_rotation(
    length: int, head_dim: int, theta: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    # Whoever asks first: what is made in inference mode can't be differentiated through later.
    with torch.inference_mode(False):
        return _rotation(length, head_dim, theta, device)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions of (rows, heads, T, head_dim), whose halves hold the pairs' two parts.

    In the precision of cosines and sines.

    Source:  Su et al. 2021, in the layout of Hugging Face's Llama.
    """
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def _norm(x: Tensor, norm: Any) -> Tensor:
    """x / rms(x) * weight over the last dimension."""
    weight, eps = norm.weight, norm.variance_epsilon
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return F.rms_norm(x, x.shape[-1:], weight, eps)
    if not torch.is_grad_enabled():
        return x * _inverse_rms(x, eps) * weight
    return _RmsNorm.apply(x, weight, eps)  # type: ignore[return-value]


def _inverse_rms(x: Tensor, eps: float) -> Tensor:
    mean_square = torch.linalg.vecdot(x, x).div_(x.shape[-1])
    return mean_square.add_(eps).rsqrt_().unsqueeze(-1)


class _RmsNorm(Function):
    """With n = x / rms(x): dx = (g w - n mean(g w n)) / rms(x), dw = sum(g n) over rows."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, eps: float) -> Tensor:  # type: ignore[override]
        inverse = _inverse_rms(x, eps)
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
