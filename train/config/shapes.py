"""Architecture ladders: a width to a whole shape, a parameter count to the nearest shape."""

import math
from dataclasses import replace

from train.config.flops import built_model, count_params, experts
from train.config.spec import ModelSpec, SpecError, known


def head_dim_for(d_model: int) -> int:
    """64 from width 256, 32 from width 64, and below that the power of two that gives 2 heads.

    Widths that the preferred size does not divide take the next smaller power of two.
    """
    preferred = 64 if d_model >= 256 else 32 if d_model >= 64 else max(2, d_model // 2)
    head_dim = 2 ** (preferred.bit_length() - 1)
    while head_dim > 2 and d_model % head_dim:
        head_dim //= 2
    return head_dim


def n_heads_for(model: ModelSpec) -> int:
    """Heads of `model.head_dim` where it is set, else of `head_dim_for` the width.

    Raises:  SpecError: a width that the head size does not divide, with the nearest ones that it
             does: heads of another size on one rung would be a second cause of its loss.
    """
    if model.head_dim is None:
        return max(1, model.d_model // head_dim_for(model.d_model))
    below = model.d_model - model.d_model % model.head_dim
    if below != model.d_model:
        widths = " or ".join(str(d) for d in (below, below + model.head_dim) if d > 0)
        raise SpecError(
            f"model.d_model={model.d_model} is not divisible by model.head_dim={model.head_dim}; "
            f"use d_model={widths}, or another head_dim for the whole ladder"
        )
    return model.d_model // model.head_dim


def n_layers_for(model: ModelSpec) -> int:
    """Width / `model.aspect_ratio` where that is set, else width / 64 and at least 2."""
    if model.aspect_ratio is None:
        return max(2, round(model.d_model / 64))
    return max(1, round(model.d_model / model.aspect_ratio))


def d_ff_for(d_model: int, family: str) -> int:
    """Feed-forward width: 4 d for gpt2; for llama 8/3 d, to a multiple of 8 (64 from d=256)."""
    if family == "gpt2":
        return 4 * d_model
    multiple = 64 if d_model >= 256 else 8
    return max(multiple, round(8 * d_model / 3 / multiple) * multiple)


def complete_shape(model: ModelSpec) -> ModelSpec:
    """The model with n_layers, n_heads, d_ff and init_std filled in where they are None.

    Depth is `n_layers_for`, heads are `n_heads_for`; weights start with std sqrt(2 / (5 d_model)),
    which is GPT-2's 0.02 at width 1000 and keeps small models from starting far too small.
    Source:  Nguyen and Salazar 2019 (small init).
    A family=hf has the shape of its configuration.
    Raises:  SpecError: an odd width, which has no even head size; no such class in transformers.
    """
    if model.family == "hf":
        return replace(model, **built_model(model).shape)
    if model.qk_norm:
        model = replace(model, family="qwen3", qk_norm=False)
    if model.family == "mixtral":
        n_experts, taken = experts(model)
        model = replace(model, n_experts=n_experts, experts_per_token=taken)
    if model.n_heads is None and model.d_model % 2:
        raise SpecError(f"model.d_model={model.d_model} is odd; use {model.d_model + 1}")
    n_heads = model.n_heads or n_heads_for(model)
    return replace(
        model,
        n_kv_heads=None if model.n_kv_heads == n_heads else model.n_kv_heads,
        n_layers=model.n_layers or n_layers_for(model),
        n_heads=n_heads,
        d_ff=model.d_ff or d_ff_for(model.d_model, model.family),
        init_std=model.init_std or math.sqrt(2 / (5 * model.d_model)),
    )


def nearest_shape(n_params: float, template: ModelSpec) -> ModelSpec:
    """The shape of the ladder whose `n_params` (design: matmul parameters) is nearest in log scale.

    Args:    n_params: target count, > 0; template: family, vocabulary, sequence length, tying.
    Widths are multiples of 4 below 64, of 16 below 256, of 64 above.
    Raises:  SpecError: the target lies more than a factor 2 outside the ladder.
    """
    known(template.vocab_size, "model.vocab_size")
    if template.family == "hf":
        raise SpecError("n_params has no meaning for family=hf, whose shapes are given: use shapes")
    free = replace(template, n_layers=None, n_heads=None, n_kv_heads=None, d_ff=None)
    # A head size that is set is the same on every rung: widths that it does not divide are none.
    widths = [d for d in ladder_widths() if d % (template.head_dim or 1) == 0]
    if not widths:
        raise SpecError(f"model.head_dim={template.head_dim} divides no width up to 12,288")
    shapes = [complete_shape(replace(free, d_model=d)) for d in widths]
    counts = [count_params(shape).n_params for shape in shapes]
    best = min(range(len(shapes)), key=lambda i: max(counts[i] / n_params, n_params / counts[i]))
    if not 0.5 <= counts[best] / n_params <= 2:
        raise SpecError(
            f"no shape has about {n_params:g} parameters; the ladder spans "
            f"{counts[0]:g} to {counts[-1]:g} with vocabulary {template.vocab_size}"
        )
    return shapes[best]


def ladder_widths() -> list[int]:
    """Widths of the ladder, 4 to 12,288: thousands of parameters to hundreds of billions."""
    return [*range(4, 64, 4), *range(64, 256, 16), *range(256, 12289, 64)]
