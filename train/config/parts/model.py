"""The shape of a decoder."""

from dataclasses import dataclass

from train.config.errors import SpecError, at_least, known, one_of, positive, require
from train.config.identity import added

FAMILIES = ("llama", "qwen3", "gpt2")  # Qwen3: Llama with each head's queries and keys normalised


@dataclass(frozen=True)
class ModelSpec:
    """Shape of a decoder-only transformer; None means derived by `train.config.shapes`.

    `head_dim` is one head size for every width of a ladder, and `aspect_ratio` width over depth;
    unset, both follow the width (docs/method.md). Of `n_kv_heads` heads of keys and values each
    serves several of queries; None is one for each.

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

    def __post_init__(self) -> None:
        one_of("model.family", self.family, FAMILIES)
        sizes = ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff", "vocab_size", "seq_len")
        at_least(1, "model.", self, *sizes)
        positive("model.", self, "init_std", "head_dim", "aspect_ratio")
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
        shares = self.n_kv_heads is not None
        require(not shares or self.family != "gpt2", "model.n_kv_heads is not for family=gpt2")
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
