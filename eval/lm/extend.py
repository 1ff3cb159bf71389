"""A model's logits behind tokens that follow what its cache has read.

Plain models in float32 on a CPU go through `train.model.forward`, which is the same function in
fewer operations; every other one through its own forward pass.
"""

import functools
import inspect
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from train.model.forward import computes, hidden_states, is_plain


def extend(
    model: Any, tokens: Tensor, cache: Any = None, mask: Tensor | None = None, last: bool = False
) -> tuple[Tensor, Any]:
    """Next-token logits behind `tokens` in float32, and the cache that now holds them too.

    Args:
        tokens: Ids, (rows, T).
        cache: Of what stands before them, None at the beginning; it is extended in place.
        mask: (rows, all positions up to the last of `tokens`), 0 at padding; None without any.
        last: Whether the logits of the last position are enough.

    Returns: Logits, (rows, T or 1, vocabulary), and the cache.
    """
    if mask is None and _is_shortened(model):
        return _shortened(model, tokens, cache, last)
    options: dict[str, Any] = {} if mask is None else masked(model, mask, tokens.shape[1])
    if last and takes(model, "logits_to_keep"):
        options["logits_to_keep"] = 1
    if cache is not None:
        options["past_key_values"] = cache
    output = model(input_ids=tokens, use_cache=True, **options)
    logits = output.logits[:, -1:] if last else output.logits
    return logits.float(), output.past_key_values


def _shortened(model: Any, tokens: Tensor, cache: Any, last: bool) -> tuple[Tensor, Any]:
    from transformers import DynamicCache

    cache = DynamicCache() if cache is None else cache
    hidden = hidden_states(model, tokens, cache=cache).view(*tokens.shape, -1)
    return model.lm_head(hidden[:, -1:] if last else hidden), cache


_asked: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def _is_shortened(model: Any) -> bool:
    """Whether `train.model.forward` stands in for a model's own pass."""
    if model not in _asked:
        _asked[model] = computes(model, torch.device("cpu")) and is_plain(model)
    # A hook that came later has to see the model's own output as well.
    if not _asked[model] or model._forward_hooks:
        return False
    weight = model.lm_head.weight
    return weight.dtype == torch.float32 and weight.device.type == "cpu"


def masked(model: Any, mask: Tensor, n_new: int) -> dict[str, Tensor]:
    """Arguments for the last n_new tokens under a mask: positions count what is not padding."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -n_new:]
    own = {"position_ids": positions} if takes(model, "position_ids") else {}
    return {"attention_mask": mask} | own


def takes(model: Any, name: str) -> bool:
    """Whether a model's forward pass has a parameter of this name."""
    return name in _parameters(type(model))


@functools.cache
def _parameters(kind: type) -> frozenset[str]:
    return frozenset(inspect.signature(kind.forward).parameters)  # pyright: ignore[reportAttributeAccessIssue]
