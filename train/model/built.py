"""What a module says of itself: parameters by group, and the shape of any decoder."""

import dataclasses
import inspect
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel

from train.config.flops import ParamCounts, count_params
from train.config.identity import canonical_json
from train.config.keys import nearest
from train.config.spec import ModelSpec, SpecError, known, require


@dataclass(frozen=True)
class Built:
    """A decoder as its class builds it; `shape` are the fields of ModelSpec that follow from it.

    `attention_width` is that of all heads of queries together.
    """

    shape: dict[str, Any]
    attention_width: int
    counts: ParamCounts


def built(model: ModelSpec) -> Built:
    """A family=hf, built on the meta device, where weights take no memory.

    Raises:  SpecError: no such class, or a configuration that it does not take.
    """
    key = dataclasses.replace(model, d_model=1, n_layers=None, n_heads=None, d_ff=None)
    return _built(canonical_json(key), model)


@lru_cache(maxsize=64)
def _built(key: str, model: ModelSpec) -> Built:
    cls, config = hf_architecture(model, None)
    try:
        with torch.device("meta"):
            module = cls(config)
    except Exception as error:  # any error of a class given values that it can't use
        raise SpecError(f"model.hf_class={model.hf_class} can't be built: {error}") from error
    text = config.get_text_config()
    heads = text.num_attention_heads
    width = (getattr(text, "head_dim", None) or text.hidden_size // heads) * heads
    d_ff = getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None)
    shape = {
        "d_model": text.hidden_size,
        "n_layers": text.num_hidden_layers,
        "n_heads": heads,
        "n_kv_heads": _fewer(getattr(text, "num_key_value_heads", None), heads),
        "d_ff": d_ff or 4 * text.hidden_size,
        "init_std": float(getattr(text, "initializer_range", 0.02)),
    }
    return Built(shape, width, counted(module))


def _fewer(n_kv_heads: int | None, n_heads: int) -> int | None:
    return None if n_kv_heads == n_heads else n_kv_heads


def hf_architecture(spec: ModelSpec, end_id: int | None) -> tuple[type[PreTrainedModel], Any]:
    """Class and configuration of a family=hf.

    Raises:  SpecError: no such decoder in transformers, or a key that its configuration has not.
    """
    cls = getattr(transformers, str(spec.hf_class), None)
    if not (inspect.isclass(cls) and issubclass(cls, PreTrainedModel) and cls.can_generate()):
        raise SpecError(
            f"model.hf_class={spec.hf_class} is no decoder of transformers "
            f"{transformers.__version__}; expected a class such as GPTNeoXForCausalLM"
        )
    config_class: Any = cls.config_class
    given = dict(spec.hf_config or {})
    names = [*inspect.signature(config_class).parameters, *config_class.attribute_map]
    for key in given:
        near = nearest(key, names)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        require(key in names, f"model.hf_config.{key} is no key of {config_class.__name__}{meant}")
    vocab_size = spec.vocab_size or given.pop("vocab_size", None)
    filled = {
        "vocab_size": known(vocab_size, "model.vocab_size"),
        "max_position_embeddings": spec.seq_len,
        "tie_word_embeddings": spec.tied,
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "pad_token_id": None,
    }
    if spec.init_std is not None:
        filled["initializer_range"] = spec.init_std
    try:
        return cls, config_class(**(filled | given))
    except Exception as error:  # strict configurations raise errors of their own
        raise SpecError(
            f"model.hf_config is not one of {config_class.__name__}: {error}"
        ) from error


def counted(module: PreTrainedModel) -> ParamCounts:
    """Parameters of a built module by group, each counted once.

    A matrix of attention is told by its name, one of experts by theirs; the split between attention
    and feed-forward matters to no sum.
    """
    table, head = module.get_input_embeddings(), module.get_output_embeddings()
    assert table is not None and head is not None  # a decoder has both
    groups = dict.fromkeys(
        ("embedding", "position", "attention", "feed_forward", "small", "head"), 0
    )
    in_experts = 0
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    for name, parameter in module.named_parameters():
        n = parameter.numel()
        if parameter is table.weight:
            group = "embedding"
        elif parameter is head.weight:
            group = "head"
        elif id(parameter) in tables:
            group = "position"
        elif parameter.ndim < 2:
            group = "small"
        else:
            group = "attention" if "attn" in name or "attention" in name else "feed_forward"
            in_experts += n if ".experts." in name else 0
        groups[group] += n
    tied = head.weight is table.weight
    n_experts, taken = _experts(module.config.get_text_config())
    return ParamCounts(
        embedding=groups["embedding"],
        position=groups["position"],
        attention=groups["attention"],
        feed_forward=groups["feed_forward"],
        norm_and_bias=groups["small"],
        head=groups["embedding"] if tied else groups["head"],
        tied=tied,
        idle=in_experts - in_experts * taken // n_experts,
    )


def _experts(config: Any) -> tuple[int, int]:
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    n_experts = next((n for name in names if (n := getattr(config, name, None))), 1)
    return n_experts, getattr(config, "num_experts_per_tok", None) or n_experts


def check_counts(module: PreTrainedModel, spec: ModelSpec) -> None:
    """Hold the built module's parameters equal to those that the record states.

    Raises:  SpecError: they differ, so that every N and FLOP of the run would be wrong.
    """
    found, stated = counted(module), count_params(spec)
    for name in ("n_params", "n_params_active", "n_params_total", "n_params_non_embedding"):
        got, expected = getattr(found, name), getattr(stated, name)
        require(
            got == expected,
            f"the built {type(module).__name__} has {name}={got:,} and the record would state "
            f"{expected:,}; please report this with the run's spec.json",
        )
