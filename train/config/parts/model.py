"""The shape of a decoder."""

from dataclasses import dataclass
from typing import Any

from train.config.errors import SpecError, at_least, known, one_of, positive, require
from train.config.identity import added

FAMILIES = ("llama", "qwen3", "olmo2", "gemma2", "mixtral", "gpt2", "hf")
"""By their classes in transformers. Beside llama, qwen3 normalises each head's queries and keys,
olmo2 all of them together and the branches' ends instead of their beginnings; gemma2 may cap its
logits; mixtral has experts; hf is any class."""

_ROTARY = ("llama", "qwen3", "olmo2", "gemma2", "mixtral")
_ONLY_FOR = {
    "n_kv_heads": (*_ROTARY, "hf"),
    "rope_theta": _ROTARY,
    "qk_norm": ("llama", "qwen3"),
    "logit_softcap": ("gemma2",),
    "n_experts": ("mixtral",),
    "experts_per_token": ("mixtral",),
    "hf_class": ("hf",),
    "hf_config": ("hf",),
}
"""Fields that some families alone have."""


@dataclass(frozen=True)
class ModelSpec:
    """Shape of a decoder-only transformer; None means derived by `train.config.shapes`.

    `head_dim` is one head size for every width of a ladder, and `aspect_ratio` width over depth;
    unset, both follow the width (docs/method.md). Of `n_kv_heads` heads of keys and values each
    serves several of queries; None is one for each. `rope_theta` is the base of rotary positions.
    `qk_norm` makes a llama a qwen3. `logit_softcap` c is c tanh(logits / c), of gemma2 alone, whose
    class in transformers applies it too. Of a mixtral's `n_experts` (8) feed-forwards, each `d_ff`
    wide, a token takes `experts_per_token` (2). `hf_class` with `hf_config` are family=hf: any
    decoder of transformers through its own forward pass, whose shape is the configuration's.

    Examples:
        >>> from isoflop import ModelSpec
        >>> ModelSpec(d_model=96, n_heads=4).head_size
        24
    """

    family: str = "llama"
    d_model: int = 64
    n_layers: int | None = None
    n_heads: int | None = None
    d_ff: int | None = None
    vocab_size: int | None = None
    seq_len: int = 128
    tied: bool = False
    init_std: float | None = None
    n_kv_heads: int | None = added(None)
    head_dim: int | None = added(None)
    aspect_ratio: float | None = added(None)
    rope_theta: float | None = added(None)
    qk_norm: bool = added(False)
    logit_softcap: float | None = added(None)
    n_experts: int | None = added(None)
    experts_per_token: int | None = added(None)
    hf_class: str | None = added(None)
    hf_config: dict[str, Any] | None = added(None, hash=False)  # noqa: RUF009

    def __post_init__(self) -> None:
        one_of("model.family", self.family, FAMILIES)
        sizes = ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff", "vocab_size", "seq_len")
        at_least(1, "model.", self, *sizes)
        positive("model.", self, "init_std", "head_dim", "aspect_ratio", "rope_theta")
        positive("model.", self, "logit_softcap", "n_experts", "experts_per_token")
        for name, families in _ONLY_FOR.items():
            require(
                getattr(self, name) in (None, False) or self.family in families,
                f"model.{name} is not for family={self.family}; use family={' or '.join(families)}",
            )
        if self.family == "hf":
            require(
                self.hf_class is not None and self.hf_config is not None,
                "model.family=hf needs model.hf_class=..., a class of transformers such as "
                "GPTNeoXForCausalLM, and model.hf_config={...}, its configuration",
            )
            return
        n_experts, taken = self.n_experts or 8, self.experts_per_token or 2
        require(
            taken <= n_experts,
            f"model.experts_per_token={taken} is more than model.n_experts={n_experts}",
        )
        require(
            self.head_dim is None
            or self.n_heads is None
            or self.n_heads * self.head_dim == self.d_model,
            f"model.n_heads={self.n_heads} and model.head_dim={self.head_dim} do not make "
            f"model.d_model={self.d_model}; leave one of them out",
        )
        if self.n_heads is not None and self.d_model % self.n_heads:
            below = self.d_model - self.d_model % self.n_heads
            fixes = " or ".join(str(d) for d in (below, below + self.n_heads) if d > 0)
            raise SpecError(
                f"model.d_model={self.d_model} is not divisible by model.n_heads={self.n_heads}; "
                f"use d_model={fixes}"
            )
        n_kv = self.n_kv_heads or 1
        require(
            (self.n_heads or n_kv) % n_kv == 0,
            f"model.n_heads={self.n_heads} is not a multiple of model.n_kv_heads={n_kv}; use one",
        )
        if self.n_heads is not None and self.family != "gpt2":
            head_dim = self.d_model // self.n_heads
            require(
                head_dim % 2 == 0,
                f"d_model/n_heads={head_dim} must be even for rotary positions; "
                f"got d_model={self.d_model}, n_heads={self.n_heads}",
            )

    @property
    def head_size(self) -> int:
        """Channels of one head of a complete shape."""
        return self.d_model // known(self.n_heads, "model.n_heads")
