"""What preparing data will take, before it is done: time, and bytes of text and tokens on disk.

A plan of a large corpus tokenises a sample of it instead of all. Its speed and its tokens a byte
are measured on this machine; what they say of the whole corpus is an estimate.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from train.config.resolve import DataInfo
from train.config.spec import DataSpec
from train.data.document import Source
from train.data.file_io import cache_dir, checksum_is_kept, size_on_disk
from train.data.prepared.build import fingerprint_of
from train.data.prepared.encode_pool import usable_cores
from train.data.prepared.encode_worker import encode_pieces
from train.data.text_files import FileSource
from train.data.tokenizer import TextCodec, build_codec

LONG_BYTES = 1 << 28
"""Text on disk from which a plan estimates: about a minute's work of two cores."""

SAMPLE_BYTES = 1 << 19
"""Bytes on disk of each file of a sample, of which there are up to three."""

HUB_BYTES_PER_CHARACTER = 0.6
"""Of text in parquet as it is downloaded, compressed by snappy; assumed."""

CHARACTERS_PER_SECOND = 3e6
"""Of a byte-level BPE on one core; assumed where nothing can be measured (docs/performance.md)."""


@dataclass(frozen=True)
class Preparation:
    """Bytes of a part's text and tokens on disk, and seconds on so many cores."""

    name: str
    text_bytes: float
    token_bytes: float
    seconds: float
    cores: int
    measured: bool

    @property
    def downloaded(self) -> bool:
        """Whether the text is not on this machine yet."""
        return not self.measured

    @property
    def basis(self) -> str:
        return "from a sample" if self.measured else "assumed, without the download"


def id_bytes(vocab_size: int) -> int:
    """Bytes of a token on disk."""
    return 2 if vocab_size <= 65536 else 4


def unprepared(data: DataSpec, sources: dict[str, Source]) -> dict[str, FileSource]:
    """The parts whose text is long and not tokenised yet; nothing long is read to know it."""
    found = {
        name: source
        for name, source in sources.items()
        if isinstance(source, FileSource) and source.rule == "tokens"
    }
    sizes = {name: sum(_sizes(source)) for name, source in found.items()}
    if sum(sizes.values()) < LONG_BYTES:
        return {}
    return {name: source for name, source in found.items() if not _is_ready(data, source)}


def estimated(
    data: DataSpec, waiting: dict[str, FileSource], facts: DataInfo | None
) -> tuple[DataInfo, list[Preparation]]:
    """Facts of data that is not prepared, and what preparing it will take.

    Args:    facts: of the other parts, where there are any.
    """
    tokens = dict(facts.n_train_tokens) if facts else {}
    vocab_size, preparations = 0, []
    for name, source in waiting.items():
        codec = build_codec(data.tokenizer, lambda s=source: (text for text, _ in _sample(s)[0]))
        vocab_size = max(vocab_size, codec.vocab_size)
        made, n_tokens = _measured(name, source, codec)
        tokens[name] = max(1, n_tokens - int(data.val_tokens))
        preparations.append(made)
    known_size = max(vocab_size, facts.vocab_size if facts else 0)
    return DataInfo("estimated", known_size, tokens), preparations


def assumed(name: str, n_chars: float, n_tokens: float, vocab_size: int) -> Preparation:
    """What a dataset that is not on this machine will take, from round figures."""
    cores = usable_cores()
    return Preparation(
        name,
        HUB_BYTES_PER_CHARACTER * n_chars,
        n_tokens * id_bytes(vocab_size),
        n_chars / (CHARACTERS_PER_SECOND * cores),
        cores,
        measured=False,
    )


def _measured(name: str, source: FileSource, codec: TextCodec) -> tuple[Preparation, int]:
    pieces, n_read = _sample(source)
    started = time.perf_counter()
    answer = encode_pieces(codec, pieces, "<u4")
    seconds = time.perf_counter() - started
    total = sum(_sizes(source))
    scale = total / max(1, n_read)
    n_tokens = int(len(answer.tokens) / 4 * scale)
    cores = usable_cores() if codec.table is None else 1
    n_bytes = n_tokens * id_bytes(codec.vocab_size) + len(answer.pieces) * scale
    return Preparation(name, total, n_bytes, seconds * scale / cores, cores, True), n_tokens


def _sample(source: FileSource) -> tuple[list[tuple[str, bool]], int]:
    """Pieces from the beginnings of the first, a middle and the last file, and their bytes on disk.

    A file's position moves when a chunk of it has been used up, so that pieces are counted with the
    chunk that they came from.
    """
    paths = source.paths
    pieces: list[tuple[str, bool]] = []
    n_read = 0
    for path in dict.fromkeys([paths[0], paths[len(paths) // 2], paths[-1]]):
        file = source.open(path)
        reached = 0
        for piece in file.pieces(source.piece_chars):
            if reached >= SAMPLE_BYTES and file.position > reached:
                break
            reached = file.position
            pieces.append(piece)
        n_read += reached
    return pieces, n_read


def _sizes(source: FileSource) -> Iterator[int]:
    return (size_on_disk(path) for path in source.paths)


def _is_ready(data: DataSpec, source: FileSource) -> bool:
    if not all(checksum_is_kept(path) for path in source.paths):
        return False
    if data.tokenizer.kind == "bpe":
        return False  # its tokenizer is trained on the text, which takes as long to read
    codec = build_codec(data.tokenizer, lambda: iter(()))
    directory = cache_dir() / "shards" / fingerprint_of(source, codec)
    return (directory / "meta.json").exists()
