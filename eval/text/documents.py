"""Texts to evaluate on: files below a directory or a glob, each with the domain it belongs to."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

import numpy as np

from eval.tasks.generated import TaskError
from train.config.spec import DataSpec, SourceSpec, SpecError
from train.data.columns import rows_alone
from train.data.dataset import prepare
from train.data.file_io import TextFile
from train.data.hub import HubOptions, fetch
from train.data.prepared.mapped_tokens import MappedTokens
from train.data.text_files import PIECE_CHARS, FileSource
from train.data.tokenizer import TextCodec

_log = logging.getLogger(__name__)

BY = ("folder", "file", "all")
HUB = "hub:"
TEXT_KINDS = ("stdlib", "packages", "text", "hub")
ALL = "all"


@dataclass(frozen=True)
class TextDocument:
    """One text; `domain` is what results are broken down by."""

    domain: str
    name: str
    text: str


def read_documents(path: str, by: str, field: str = "text") -> list[TextDocument]:
    """Every text below a path, empty ones left out.

    Args:
        path: A file, a directory (all files below it but hidden ones and what describes a set that
            `save_to_disk` wrote), a glob, or hub:NAME for a Hugging Face set.
        by: folder: the first folder below the path, or that the file lies in for a glob; file: the
            file's name; all: no breakdown.
        field: The text's key or column in JSONL and parquet files.

    Raises:
        TaskError: no file there, an unreadable file, or no text in any.
    """
    if by not in BY:
        raise TaskError(f"by={by} is unknown; expected one of {', '.join(BY)}")
    try:
        found = [
            TextDocument(_domain(path, file, by), f"{file.name} {i}", text)
            for file in _files(path)
            for i, text in enumerate(_texts(file, field))
            if text
        ]
    except SpecError as error:
        raise TaskError(f"path={path}: {error}") from error
    if not found:
        raise TaskError(f"path={path} holds no text; expected a file, a directory or a glob")
    return found


def has_text(parts: dict[str, SourceSpec]) -> bool:
    """Whether a run's data holds running text, rather than rows of generated items alone."""
    return any(part.kind in TEXT_KINDS for part in parts.values())


def heldout_documents(data: DataSpec, seq_len: int) -> list[TextDocument]:
    """The validation texts of a run's own data; parts of generated rows have no running text.

    Raises:  TaskError: no part with running text.
    """
    codec, shards, sources = prepare(data, seq_len)
    found: list[TextDocument] = []
    for name, source in sources.items():
        if not isinstance(source, FileSource):
            continue
        shard = shards[name]
        texts = (
            _decoded(shard, codec)
            if isinstance(shard, MappedTokens)
            else (document.text for document in source.documents("val"))
        )
        found += [TextDocument(name, f"{name} {i}", text) for i, text in enumerate(texts)]
    if not found:
        raise TaskError("the run was trained on no running text; give path=DIR_OR_GLOB")
    return found


def _decoded(shard: MappedTokens, codec: TextCodec) -> Iterator[str]:
    """The text of each stretch of tokens that was held out, cut where a document ends."""
    (tokens,) = shard.arrays
    for start, stop in shard.ranges["val"]:
        ids = np.asarray(tokens[start:stop])
        for part in np.split(ids, np.flatnonzero(ids == codec.end_id) + 1):
            text = codec.tokenizer.decode(part[part != codec.end_id].tolist())
            if text:
                yield text


def _texts(path: Path, field: str) -> Iterator[str]:
    """The texts of a file: one, or one a row of a table."""
    parts: list[str] = []
    for piece, last in TextFile(path, field).pieces(PIECE_CHARS):
        parts.append(piece)
        if last:
            yield "".join(parts)
            parts = []


def _files(path: str) -> Iterator[Path]:
    if path.startswith(HUB):
        yield from fetch(HubOptions(name=path.removeprefix(HUB)))
    elif has_magic(path):
        found = [Path(one) for one in sorted(glob(path, recursive=True)) if Path(one).is_file()]
        yield from _rows_of(found, found, path)
    elif Path(path).is_dir():
        below = [one for one in sorted(Path(path).rglob("*")) if one.is_file()]
        shown = [one for one in below if not _is_hidden(one.relative_to(path))]
        yield from _rows_of(below, shown, path)
    elif Path(path).is_file():
        yield Path(path)


def _rows_of(found: list[Path], shown: list[Path], path: str) -> list[Path]:
    """Files to be read; how many of those found are not is said."""
    kept = rows_alone(shown)
    if len(kept) < len(found):
        _log.warning(
            "%d of %d files below %s are hidden or lie beside the rows of a saved set, "
            "and are not read as text",
            len(found) - len(kept),
            len(found),
            path,
        )
    return kept


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _domain(path: str, file: Path, by: str) -> str:
    if by == "all" or path.startswith(HUB):
        return ALL if by == "all" else path.removeprefix(HUB)
    if by == "file":
        return file.name
    root = Path(path)
    if root.is_dir() and len(file.relative_to(root).parts) > 1:
        return file.relative_to(root).parts[0]
    return file.resolve().parent.name
