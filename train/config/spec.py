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
from train.config.lr_schedule import ScheduleSpec as ScheduleSpec
from train.config.lr_schedule import learning_rate
from train.config.parts.init import InitSpec as InitSpec
from train.config.parts.model import FAMILIES as FAMILIES
from train.config.parts.model import ModelSpec as ModelSpec
from train.config.parts.optim import OptimSpec as OptimSpec

SCHEMA_VERSION = 1
"""Raised whenever the meaning of a spec changes, so that old results never pass for new ones."""

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

    `n_steps` is the realised length, filled in by `train.config.resolve` like every None. `init` is
    a checkpoint whose weights it begins with (`train.rundir.starting_point`).

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
    init: InitSpec | None = added(None)  # noqa: RUF009

    def __post_init__(self) -> None:
        one_of("precision", self.precision, PRECISIONS)
        require(0 <= self.seed < 2**31, f"seed={self.seed} must lie in [0, 2^31)")
        at_least(1, "", self, "n_steps")
        require(
            self.model.family not in ("mixtral", "hf") or self.optim.optimizer != "muon",
            f"optim.optimizer=muon is not for model.family={self.model.family}: it takes matrices, "
            f"and experts are stacks of them; use optimizer=adamw",
        )
        require(
            self.model.family != "hf" or self.optim.parametrization == "standard",
            f"optim.parametrization={self.optim.parametrization} is not for model.family=hf, whose "
            f"matrices it does not know; use parametrization=standard",
        )

    def learning_rate(self, step: int) -> float:
        """The learning rate of a resolved spec at an optimiser step, the first being 0."""
        batch_tokens = known(self.optim.batch_tokens, "optim.batch_tokens")
        planned = self.schedule.horizon_tokens
        warmup = known(self.schedule.warmup_tokens, "warmup_tokens")
        return learning_rate(
            step,
            schedule=self.schedule.name,
            n_steps=round(planned / batch_tokens) if planned else known(self.n_steps, "n_steps"),
            warmup_steps=round(warmup / batch_tokens),
            lr_peak=known(self.optim.lr_peak, "optim.lr_peak"),
            final_fraction=self.schedule.final_fraction,
            decay_fraction=self.schedule.decay_fraction,
        )

    @property
    def run_id(self) -> str:
        """Twelve hex digits: SHA-256 of the canonical JSON of the resolved spec."""
        known(self.n_steps, "n_steps")
        known(self.data.fingerprint, "data.fingerprint")
        content = {"schema": SCHEMA_VERSION, "spec": self}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:12]
