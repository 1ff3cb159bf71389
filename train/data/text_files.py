"""Text files as a source: cut into pieces that fall to a split by the hash of their content.

Equal pieces so fall on the same side, wherever they stand.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from train.config.spec import SpecError
from train.data.document import Document
from train.data.file_io import checksum, read_texts

PIECE_CHARS = 16384
"""Longest piece of a file that is assigned to a split as a whole."""

MAX_VAL_SHARE = 0.2
"""Largest share of a source's text that validation may take."""


@dataclass(frozen=True)
class FileSource:
    """Pieces of text files; validation takes the pieces with the lowest content hashes."""

    name: str
    paths: tuple[Path, ...]
    field: str
    val_chars: float
    rows: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        return {"content": self._content, "field": self.field, "val_chars": self.val_chars}

    def entropy(self, seq_len: int) -> float | None:
        return None

    @cached_property
    def _threshold(self) -> str:
        """Pieces whose hash is below it are validation."""
        sizes = {_hash(piece): len(piece) for piece, _ in self._pieces()}
        total, held_out = sum(sizes.values()), 0
        if total == 0:
            raise SpecError(
                f"data source {self.name!r} is empty: no text in {len(self.paths)} files"
            )
        for digest in sorted(sizes):
            if held_out >= self.val_chars:
                return digest
            held_out += sizes[digest]
            if held_out > MAX_VAL_SHARE * total:
                break
        raise SpecError(
            f"data source {self.name!r} has {total} characters in {len(sizes)} pieces, too few to "
            f"hold out {self.val_chars:.0f} (at most {MAX_VAL_SHARE:.0%}); "
            f"lower data.val_tokens or add text"
        )

    @cached_property
    def _content(self) -> str:
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(bytes.fromhex(_checksum(path)))
        return digest.hexdigest()

    def documents(self, split: str, length: int | None = None) -> Iterator[Document]:
        threshold = self._threshold
        for piece, last in self._pieces():
            if (_hash(piece) < threshold) == (split == "val"):
                yield Document(piece, ends=last)

    def _pieces(self) -> Iterator[tuple[str, bool]]:
        """Every piece, and whether it is the last of its document."""
        for path in self.paths:
            for text in read_texts(path, self.field):
                *others, last = list(cut(text, PIECE_CHARS)) or [""]
                yield from ((piece, False) for piece in others)
                if last:
                    yield last, True


def cut(text: str, longest: int) -> Iterator[str]:
    """Consecutive pieces of at most `longest` characters, each ended at a line's end if it can."""
    start = 0
    while start < len(text):
        end = min(start + longest, len(text))
        newline = text.rfind("\n", start, end)
        if end < len(text) and newline > start:
            end = newline + 1
        yield text[start:end]
        start = end


def _hash(piece: str) -> str:
    return hashlib.blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _checksum(path: Path) -> str:
    try:
        return checksum(path)
    except OSError as error:
        raise SpecError(f"data file {path} can't be read: {error.strerror}") from error
