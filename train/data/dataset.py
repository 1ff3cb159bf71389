"""From a DataSpec to batches: shards for each part, and rows that depend on (seed, step) alone."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from train.config.resolve import DataInfo
from train.config.spec import DataSpec, RunSpec, SpecError, canonical_json, known
from train.data.document import Source
from train.data.file_io import cache_dir
from train.data.prepared.build import ensure_prepared
from train.data.prepared.in_place import ensure_in_place, largest_id
from train.data.prepared.mapped_tokens import MappedTokens
from train.data.sampler import draw
from train.data.sources import make_source
from train.data.text_files import FileSource
from train.data.token_files import TokenSource
from train.data.token_shards import Shard, ensure_shard
from train.data.tokenizer import TextCodec, build_codec, codec_of, ids_codec
from train.model.labels import IGNORED
from train.rundir.atomic import write_atomic

BPE_ROW = 4096
"""Length of generated texts from which a tokenizer is trained."""

Rows = tuple[NDArray[np.int64], NDArray[np.int64]]

Mapped = tuple[Any, NDArray[np.uint8] | None]
"""Tokens of a split, an array or a `TokenView`, and its loss mask where it has one."""

Tokens = Shard | MappedTokens
"""A part's tokens: written here with a split a file, or ranges of files."""


def describe(data: DataSpec, seq_len: int) -> DataInfo:
    """Identity, vocabulary and training tokens of the data, whose shards are built where missing.

    Raises:  SpecError: a source that is unknown, empty or too small; ShardError: a damaged shard.
    """
    codec, shards, _ = prepare(data, seq_len)
    return _facts(data, codec, shards, seq_len)


def _facts(data: DataSpec, codec: TextCodec, shards: dict[str, Tokens], seq_len: int) -> DataInfo:
    content = {name: shard.fingerprint for name, shard in shards.items()}
    return DataInfo(
        fingerprint=hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16],
        vocab_size=codec.vocab_size,
        n_train_tokens={
            name: shard.n_windows("train", seq_len) * seq_len for name, shard in shards.items()
        },
        n_val_tokens={
            name: n_val_windows(shard, data.val_tokens, seq_len) * seq_len
            for name, shard in shards.items()
        },
    )


def n_val_windows(shard: Tokens, val_tokens: float, seq_len: int) -> int:
    """Validation windows that are evaluated: those of `data.val_tokens`, or all there are."""
    return min(max(1, int(val_tokens) // seq_len), shard.n_windows("val", seq_len))


def prepare(data: DataSpec, seq_len: int) -> tuple[TextCodec, dict[str, Tokens], dict[str, Source]]:
    """The codec, and the shard and source of each part; shards are built where missing."""
    sources = sources_of(data)
    codec = codec_for(data, sources)
    shards = {name: _tokens(name, source, codec, seq_len) for name, source in sources.items()}
    for name, shard in shards.items():
        for split in ("train", "val"):
            if shard.n_windows(split, seq_len) < 1:
                raise SpecError(
                    f"data part {name!r} has {shard.counts[split]['n_tokens']} {split} tokens, "
                    f"fewer than one window of model.seq_len={seq_len}; shorten it or add text"
                )
    return codec, shards, sources


def sources_of(data: DataSpec) -> dict[str, Source]:
    """The source of each part.

    Raises:  SpecError: a source that is unknown or finds no files, or text where there is no
             tokenizer for it.
    """
    found = {
        name: make_source(part, data.val_tokens, data.val_rule) for name, part in data.parts.items()
    }
    for name, source in found.items():
        if data.tokenizer.kind == "ids" and not isinstance(source, TokenSource):
            raise SpecError(
                f"data part {name!r} is text, and data.tokenizer.kind=ids has no tokenizer for it; "
                f"use kind=hf with the tokenizer that made the files of ids"
            )
    return found


def _tokens(name: str, source: Source, codec: TextCodec, seq_len: int) -> Tokens:
    root = cache_dir() / "shards"
    if isinstance(source, TokenSource):
        return ensure_in_place(root, name, source, codec)
    if isinstance(source, FileSource) and source.rule == "tokens":
        return ensure_prepared(root, name, source, codec)
    return ensure_shard(root, name, source, codec, seq_len + 1 if source.rows else None)


@dataclass(frozen=True)
class Dataset:
    """Everything a run reads: training batches by step, validation batches by part."""

    spec: RunSpec
    codec: TextCodec
    shards: dict[str, Tokens]
    facts: DataInfo
    sources: dict[str, Source]

    @classmethod
    def open(cls, spec: RunSpec) -> "Dataset":
        """The data of a resolved spec.

        Raises:  SpecError: the data on this machine is not the data that the spec was made for;
                 ShardError: a shard whose checksum differs.
        """
        codec, shards, sources = prepare(spec.data, spec.model.seq_len)
        facts = _facts(spec.data, codec, shards, spec.model.seq_len)
        if facts.fingerprint != spec.data.fingerprint:
            raise SpecError(
                f"the data here has fingerprint {facts.fingerprint}, the run was made for "
                f"{spec.data.fingerprint}: files changed or another Python version; plan it again"
            )
        for shard in shards.values():
            shard.verify()
        return cls(spec, codec, shards, facts, sources)

    @property
    def rows_per_batch(self) -> int:
        return known(self.spec.optim.batch_tokens, "optim.batch_tokens") // self.spec.model.seq_len

    @property
    def entropy(self) -> float | None:
        """The loss of a perfect model, nats per token, where every part's is known."""
        weights = {name: part.weight for name, part in self.spec.data.parts.items()}
        known_ones = {
            name: source.entropy(self.spec.model.seq_len) for name, source in self.sources.items()
        }
        values = [value * weights[name] for name, value in known_ones.items() if value is not None]
        return sum(values) / sum(weights.values()) if len(values) == len(weights) else None

    def batch(self, step: int) -> Rows:
        """Inputs and labels of an optimiser step, int64 (rows_per_batch, seq_len) each."""
        names = list(self.shards)
        seq_len = self.spec.model.seq_len
        drawn = draw(
            step,
            self.rows_per_batch,
            [self.spec.data.parts[name].weight for name in names],
            [self.shards[name].n_windows("train", seq_len) for name in names],
            self.spec.seed,
        )
        rows = np.empty((self.rows_per_batch, seq_len + 1), dtype=np.int64)
        labels = np.empty((self.rows_per_batch, seq_len), dtype=np.int64)
        for index, name in enumerate(names):
            chosen = drawn.part == index
            rows[chosen], labels[chosen] = read_windows(
                self._train_tokens[name], self.shards[name], drawn.window[chosen], seq_len
            )
        return rows[:, :-1], labels

    @cached_property
    def _train_tokens(self) -> dict[str, Mapped]:
        """Each part's training tokens and mask, mapped into memory once."""
        return {name: shard.open("train") for name, shard in self.shards.items()}

    def val_batches(self, part: str, rows: int) -> Iterator[Rows]:
        """The part's validation windows in order, up to `data.val_tokens`, in batches of `rows`.

        Where more is held out than that, mapped tokens give windows spread over all of it.
        """
        seq_len = self.spec.model.seq_len
        shard = self.shards[part]
        count = n_val_windows(shard, self.spec.data.val_tokens, seq_len)
        spread = shard.n_windows("val", seq_len) if isinstance(shard, MappedTokens) else count
        chosen = np.arange(count, dtype=np.int64) * spread // count
        mapped = shard.open("val")
        for start in range(0, count, rows):
            tokens, labels = read_windows(mapped, shard, chosen[start : start + rows], seq_len)
            yield tokens[:, :-1], labels


def read_windows(mapped: Mapped, shard: Tokens, windows: NDArray[np.int64], seq_len: int) -> Rows:
    """Windows of an open split: tokens (n, seq_len + 1), and labels (n, seq_len), IGNORED set."""
    tokens, mask = mapped
    stride = shard.row_length or seq_len
    index = windows[:, None] * stride + np.arange(seq_len + 1)
    rows = tokens[index].astype(np.int64)
    labels = rows[:, 1:].copy()
    if mask is not None:
        labels[mask[index[:, 1:]] == 0] = IGNORED
    return rows, labels


def codec_for(data: DataSpec, sources: dict[str, Source]) -> TextCodec:
    """The codec, read from the cache where it had to be trained."""
    if data.tokenizer.kind == "ids":
        return _codec_of_ids(data, sources)
    if data.tokenizer.kind != "bpe":
        return build_codec(data.tokenizer, lambda: iter(()))
    identities = {name: source.identity for name, source in sources.items()}
    content = canonical_json({"sources": identities, "vocab_size": data.tokenizer.vocab_size})
    name = hashlib.sha256(content.encode()).hexdigest()[:16]
    path = cache_dir() / "tokenizers" / f"{name}.json"
    if not path.exists():
        texts = chain.from_iterable(map(_tokenizer_texts, sources.values()))
        trained = build_codec(data.tokenizer, lambda: texts)
        write_atomic(path, trained.tokenizer.to_str())
    return codec_of(Tokenizer.from_file(str(path)))


def _tokenizer_texts(source: Source) -> Iterator[str]:
    if isinstance(source, FileSource):
        yield from source.tokenizer_texts()
        return
    for document in source.documents("train", BPE_ROW if source.rows else None):
        yield document.text


def _codec_of_ids(data: DataSpec, sources: dict[str, Source]) -> TextCodec:
    """Vocabulary and end token as set, else as the files say, else as their ids show."""
    files = {name: s for name, s in sources.items() if isinstance(s, TokenSource)}
    ends = {source.end_id for source in files.values()}
    end_id = data.tokenizer.end_id
    if end_id is None and len(ends) == 1:
        end_id = ends.pop()
    if (vocab_size := data.tokenizer.vocab_size) is None:
        sizes = [s.vocab_size or largest_id(name, s) + 1 for name, s in files.items()]
        vocab_size = max(*sizes, (end_id or 0) + 1) if sizes else 1
    return ids_codec(vocab_size, end_id)
