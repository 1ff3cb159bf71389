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
from train.data.file_io import TextFile, content_checksum
from train.data.file_kinds import FileKind, by_suffix, recognise, require_text

PIECE_CHARS = 16384
"""Longest piece of a file that is assigned to a split as a whole."""

SHORTEST_PIECE = 1024
"""Least length to which pieces are cut so that validation is spread; several windows long."""

VAL_PIECES = 128
"""Pieces that validation is spread over, where they are then no shorter than that."""

MAX_VAL_SHARE = 0.2
"""Largest share of a source's text that validation may take."""

PREPARED_VERSION = 2
"""Of how text becomes tokens under the rule `tokens`."""


@dataclass(frozen=True)
class FileSource:
    """Pieces of text files; validation takes the pieces with the lowest content hashes.

    `rule` is `data.val_rule`: `characters` makes documents of each split (`documents`), `tokens`
    leaves the choice to who counts tokens (`train.data.prepare`). `plain`: every file is text.
    """

    name: str
    paths: tuple[Path, ...]
    field: str
    val_size: float
    rows: bool = False
    rule: str = "characters"
    plain: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        if self.rule == "characters":
            return {"content": self._content, "field": self.field, "val_chars": self.val_size}
        return {
            "version": PREPARED_VERSION,
            "content": self._content,
            "field": self.field,
            "val_tokens": int(self.val_size),
        }

    @property
    def piece_chars(self) -> int:
        """Longest piece: short enough that many pieces make up the validation tokens."""
        if self.rule == "characters":
            return PIECE_CHARS
        return max(SHORTEST_PIECE, min(PIECE_CHARS, int(self.val_size) // VAL_PIECES))

    def entropy(self, seq_len: int) -> float | None:
        return None

    def require_text(self) -> None:
        """Check what every file is before any is read whole.

        Raises:  SpecError: one that holds no text.
        """
        for path in self.paths:
            require_text(path, self.kind_of(path))

    def kind_of(self, path: Path) -> FileKind:
        if self.plain:
            return FileKind("text")
        return by_suffix(path) if self.rule == "characters" else recognise(path)

    def open(self, path: Path) -> TextFile:
        return TextFile(path, self.field, self.kind_of(path))

    @cached_property
    def _threshold(self) -> str:
        """Pieces whose hash is below it are validation."""
        sizes = {piece_hash(piece).hex(): len(piece) for piece, _ in self.pieces()}
        total, held_out = sum(sizes.values()), 0
        if total == 0:
            raise SpecError(
                f"data source {self.name!r} is empty: no text in {len(self.paths)} files"
            )
        for digest in sorted(sizes):
            if held_out >= self.val_size:
                return digest
            held_out += sizes[digest]
            if held_out > MAX_VAL_SHARE * total:
                break
        raise SpecError(
            f"data source {self.name!r} has {total} characters in {len(sizes)} pieces, too few to "
            f"hold out {self.val_size:.0f} (at most {MAX_VAL_SHARE:.0%}); "
            f"lower data.val_tokens or add text"
        )

    @cached_property
    def _content(self) -> str:
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(bytes.fromhex(content_checksum(path)))
        return digest.hexdigest()

    def documents(self, split: str, length: int | None = None) -> Iterator[Document]:
        threshold = self._threshold
        for piece, last in self.pieces():
            if (piece_hash(piece).hex() < threshold) == (split == "val"):
                yield Document(piece, ends=last)

    def tokenizer_texts(self) -> Iterator[str]:
        """What a tokenizer is trained on: text that is no validation text.

        Under the rule `tokens` that is the upper half by hash, since validation, at most a fifth of
        the text, takes the lowest hashes and can only be counted once there is a tokenizer.
        """
        if self.rule == "characters":
            yield from (document.text for document in self.documents("train"))
            return
        for piece, _ in self.pieces():
            if piece_hash(piece)[0] >= 128:
                yield piece

    def pieces(self) -> Iterator[tuple[str, bool]]:
        """Every piece, and whether it is the last of its document."""
        for path in self.paths:
            yield from self.open(path).pieces(self.piece_chars)


def piece_hash(piece: str) -> bytes:
    """Twelve bytes by which pieces are ordered, the same for equal ones."""
    return hashlib.blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=12).digest()
