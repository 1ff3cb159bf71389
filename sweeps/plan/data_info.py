"""What a plan must know of its data, and what it assumes of data that is not ready.

Describing a source builds its token shards, and a Hugging Face dataset is downloaded for that. A
plan of a sweep for another machine takes `assume` instead, one of text that takes long to tokenise
estimates from a sample, and both say so, with what preparing the data will take.
"""

from dataclasses import dataclass, field, replace

from sweeps.spec.config import SweepConfig
from train.config.resolve import DataInfo
from train.config.spec import DataSpec, IsoflopError
from train.data.dataset import describe, sources_of
from train.data.hub import HubOptions, is_here
from train.data.prepared.outlook import Preparation, assumed, estimated, id_bytes, unprepared
from train.data.text_files import FileSource


class AssumedDataError(IsoflopError):
    """A launch of what is only meant to be planned."""


@dataclass
class DataInfoCache:
    """Facts of each data specification, looked up once; `assumed` lists what was not looked up.

    `prepared` says of each part how much there is, and `preparations` what is still to be done.
    """

    config: SweepConfig
    found: dict[str, DataInfo] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)
    prepared: dict[str, str] = field(default_factory=dict)
    preparations: dict[str, Preparation] = field(default_factory=dict)

    def __call__(self, data: DataSpec, seq_len: int) -> DataInfo:
        key = f"{data!r}|{seq_len}"
        if key not in self.found:
            absent = self._absent(data)
            self.found[key] = (
                self._assume(data, absent) if absent else self._looked_up(data, seq_len)
            )
        return self.found[key]

    @property
    def token_bytes(self) -> float:
        """Bytes of all tokens of all data that was asked for, in the cache or where they lie."""
        by_data: dict[str, float] = {}
        for key, facts in self.found.items():
            data = key.rpartition("|")[0]
            held = (*facts.n_train_tokens.values(), *facts.n_val_tokens.values())
            n_bytes = float(id_bytes(facts.vocab_size) * sum(n or 0 for n in held))
            by_data[data] = max(n_bytes, by_data.get(data, 0.0))
        return sum(by_data.values())

    def _looked_up(self, data: DataSpec, seq_len: int) -> DataInfo:
        kinds = {part.kind for part in data.parts.values()}
        if only_planned(self.config) and kinds & {"text", "hub", "packages"}:
            sources = sources_of(data)
            if waiting := unprepared(data, sources):
                return self._estimate(data, waiting, seq_len)
        facts = describe(data, seq_len)
        for name, n_val in facts.n_val_tokens.items():
            self.prepared[name] = (
                f"data {name}: {facts.n_train_tokens[name]:,} tokens to train on without "
                f"repetition, {n_val:,} held out (data.val_tokens={data.val_tokens:,.0f})"
            )
        return facts

    def _estimate(self, data: DataSpec, waiting: dict[str, FileSource], seq_len: int) -> DataInfo:
        others = {name: part for name, part in data.parts.items() if name not in waiting}
        facts = describe(replace(data, parts=others), seq_len) if others else None
        found, preparations = estimated(data, waiting, facts)
        for preparation in preparations:
            self.preparations[preparation.name] = preparation
            self.assumed[preparation.name] = (
                f"{preparation.name} is not tokenised yet: about "
                f"{found.n_train_tokens[preparation.name]:.3g} tokens by a sample; run ids are not "
                f"final"
            )
        return found

    def _absent(self, data: DataSpec) -> list[str]:
        """The hub datasets that a plan would have to download, where it may assume instead."""
        if self.config.assume is None or not only_planned(self.config):
            return []
        parts = [part for part in data.parts.values() if part.kind == "hub"]
        return [
            str(part.options.get("name"))
            for part in parts
            if not is_here(HubOptions(**part.options))
        ]

    def _assume(self, data: DataSpec, absent: list[str]) -> DataInfo:
        assume = self.config.assume
        assert assume is not None  # only then is anything taken as absent
        for name in absent:
            self.assumed[name] = (
                f"{name} is not on this machine: assumed {assume.n_train_tokens:.3g} tokens a part "
                f"and a vocabulary of {assume.vocab_size:,} (assume.*); run ids are not final"
            )
        for name, part in data.parts.items():
            if part.kind == "hub":
                n_chars = HubOptions(**part.options).max_chars
                self.preparations[name] = assumed(
                    name, n_chars, assume.n_train_tokens, assume.vocab_size
                )
        tokens: dict[str, int | None] = dict.fromkeys(data.parts, int(assume.n_train_tokens))
        return DataInfo("assumed", assume.vocab_size, tokens)


def only_planned(config: SweepConfig) -> bool:
    """Whether nothing will be trained: a plan, a design, a proposal, losses off a surface, or
    scripts that are printed and not submitted.
    """
    printed = config.launcher.kind == "slurm" and config.launcher.dry_run
    planned = config.action in ("plan", "design", "propose")
    return planned or printed or config.launcher.kind == "simulate"


def require_launchable(config: SweepConfig) -> None:
    """A preset that is a plan alone is launched only with force=true.

    Raises:  AssumedDataError: `plan_only` without `force`.
    """
    if config.plan_only is not None and not config.force and not only_planned(config):
        raise AssumedDataError(
            f"sweep {config.sweep.name} is a plan alone ({config.plan_only}); look at it with "
            f"isoflop sweep plan, or pass force=true"
        )
