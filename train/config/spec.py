"""What a run is: frozen dataclasses, their checks, and the identity of a run.

The classes are the Hydra schema too. A field that is None asks for a value to be derived;
`train.config.resolve` fills every one of them, and only a resolved spec has an identity.
"""

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

from train.config.errors import IsoflopError as IsoflopError
from train.config.errors import SpecError, at_least, known, one_of, positive, require
from train.config.identity import added, canonical_json

SCHEMA_VERSION = 1
"""Raised whenever the meaning of a spec changes, so that old results never pass for new ones."""

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


TOKENIZERS = ("bytes", "characters", "bpe", "hf", "ids")


@dataclass(frozen=True)
class TokenizerSpec:
    """bytes (257 ids) | characters (an alphabet) | bpe (trained here) | hf (name or directory) |
    ids (none: the data holds token ids; `vocab_size` and `end_id` are the files' own where unset).

    Examples:
        >>> from isoflop import TokenizerSpec
        >>> TokenizerSpec("bpe", vocab_size=4096).alphabet is None
        True
    """

    kind: str = "bytes"
    alphabet: str | None = None
    vocab_size: int | None = None
    name: str | None = None
    end_id: int | None = added(None)

    def __post_init__(self) -> None:
        one_of("tokenizer.kind", self.kind, TOKENIZERS)
        needs = {"characters": "alphabet", "bpe": "vocab_size", "hf": "name"}
        takes = {"ids": {"vocab_size", "end_id"}}
        for name in ("alphabet", "vocab_size", "name", "end_id"):
            value = getattr(self, name)
            if needs.get(self.kind) == name:
                require(
                    value is not None,
                    f"tokenizer.kind={self.kind} needs tokenizer.{name}; got none",
                )
            elif value is not None and name not in takes.get(self.kind, ()):
                owners = [k for k, n in needs.items() if n == name]
                owners += [k for k, names in takes.items() if name in names]
                raise SpecError(
                    f"tokenizer.{name}={value!r} has no meaning for tokenizer.kind={self.kind}; "
                    f"it belongs to kind={' or '.join(owners)}"
                )


@dataclass(frozen=True)
class SourceSpec:
    """One source of text and its share of a mixture; `options` are checked by the source itself.

    Examples:
        >>> from isoflop import SourceSpec
        >>> SourceSpec("text", options={"files": ["corpus.txt"]}).weight
        1.0
    """

    kind: str = "stdlib"
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(
            self.weight > 0 and math.isfinite(self.weight),
            f"weight={self.weight} of source {self.kind!r} must be positive; or leave it out",
        )


VAL_RULES = ("tokens", "characters")


@dataclass(frozen=True)
class DataSpec:
    """What is trained on: one part, or a weighted mixture of named parts.

    `val_tokens` is held out of each part; `max_epochs` bounds how often a token may be seen.
    `val_rule`: tokens (held out by the token, in many short pieces) | characters (as the first
    release did: `val_tokens` counts characters, in pieces of up to 16,384).
    `fingerprint` identifies the content and is filled in by `train.config.resolve`.

    Examples:
        >>> from isoflop import DataSpec, SourceSpec
        >>> DataSpec({"code": SourceSpec("stdlib"), "sums": SourceSpec("arithmetic")}).max_epochs
        1.0
    """

    parts: dict[str, SourceSpec] = field(default_factory=dict)
    tokenizer: TokenizerSpec = field(default_factory=TokenizerSpec)
    val_tokens: float = 131072
    max_epochs: float = 1.0
    fingerprint: str | None = None
    val_rule: str = added("characters")

    def __post_init__(self) -> None:
        one_of("data.val_rule", self.val_rule, VAL_RULES)
        require(
            len(self.parts) > 0, "data.parts is empty; choose data=stdlib, text, arithmetic, ..."
        )
        at_least(1, "data.", self, "val_tokens")
        positive("data.", self, "max_epochs")


@dataclass(frozen=True)
class OptimSpec:
    """AdamW; None means given by the named rule from the run's real N and D.

    `parametrization`: how initialisation and rates follow width (`train.model.parametrization`).

    Examples:
        >>> from isoflop import OptimSpec
        >>> OptimSpec(lr_peak=3e-3, batch_tokens=65536).beta1
        0.9
    """

    rule: str = "default"
    parametrization: str = "standard"
    lr_peak: float | None = None
    batch_tokens: int | None = None
    weight_decay: float | None = None
    beta1: float = 0.9
    beta2: float | None = None
    eps: float = 1e-8
    grad_clip: float = 1.0

    def __post_init__(self) -> None:
        positive("optim.", self, "lr_peak", "batch_tokens", "eps", "grad_clip")
        one_of("optim.parametrization", self.parametrization, ("standard", "completep"))
        at_least(0, "optim.", self, "weight_decay")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(value is None or 0 <= value < 1, f"optim.{name}={value} must lie in [0, 1)")


SCHEDULES = ("cosine", "linear", "constant", "wsd")


@dataclass(frozen=True)
class ScheduleSpec:
    """Learning rate over the run's own tokens; `final_fraction` of the peak is reached at the end.

    `decay_fraction` is the share of the run that `wsd` spends decaying; other schedules ignore it.
    `horizon_tokens` plans the decay over that many tokens instead of the run's own: the mismatch in
    Kaplan et al. 2020 that Hoffmann et al. 2022 set right.

    Examples:
        >>> from isoflop import ScheduleSpec
        >>> ScheduleSpec("wsd", final_fraction=0.0).decay_fraction
        0.2
    """

    name: str = "cosine"
    warmup_tokens: float | None = None
    horizon_tokens: float | None = None
    final_fraction: float = 0.1
    decay_fraction: float = 0.2

    def __post_init__(self) -> None:
        one_of("schedule.name", self.name, SCHEDULES)
        at_least(0, "schedule.", self, "warmup_tokens")
        positive("schedule.", self, "horizon_tokens")
        for name in ("final_fraction", "decay_fraction"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"schedule.{name}={value} must lie in [0, 1]")


@dataclass(frozen=True)
class HorizonSpec:
    """How long to train: exactly one of tokens, FLOPs, or tokens per parameter.

    Examples:
        >>> from isoflop import HorizonSpec
        >>> HorizonSpec(tokens_per_param=20)
        HorizonSpec(n_tokens=None, flops=None, tokens_per_param=20)
    """

    n_tokens: float | None = None
    flops: float | None = None
    tokens_per_param: float | None = None

    def __post_init__(self) -> None:
        given = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        require(
            len(given) == 1,
            f"horizon needs exactly one of n_tokens, flops, tokens_per_param; got "
            f"{', '.join(f'{k}={v:g}' for k, v in given.items()) or 'none of them'}; "
            f"set one, for example horizon.n_tokens=2e6",
        )
        for name, value in given.items():
            require(
                value > 0 and math.isfinite(value),
                f"horizon.{name}={value} must be positive and finite",
            )


PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class RunSpec:
    """Everything that can change a run's numbers, and nothing else.

    `n_steps` is the realised length, filled in by `train.config.resolve` like every None.

    Examples:
        >>> from isoflop import DataSpec, HorizonSpec, RunSpec, SourceSpec
        >>> RunSpec(DataSpec({"code": SourceSpec("stdlib")}), HorizonSpec(n_tokens=2e6)).precision
        'fp32'
    """

    data: DataSpec
    horizon: HorizonSpec
    model: ModelSpec = field(default_factory=ModelSpec)
    optim: OptimSpec = field(default_factory=OptimSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    precision: str = "fp32"
    seed: int = 0
    n_steps: int | None = None

    def __post_init__(self) -> None:
        one_of("precision", self.precision, PRECISIONS)
        require(0 <= self.seed < 2**31, f"seed={self.seed} must lie in [0, 2^31)")
        at_least(1, "", self, "n_steps")

    @property
    def run_id(self) -> str:
        """Twelve hex digits: SHA-256 of the canonical JSON of the resolved spec."""
        known(self.n_steps, "n_steps")
        known(self.data.fingerprint, "data.fingerprint")
        content = {"schema": SCHEMA_VERSION, "spec": self}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:12]
