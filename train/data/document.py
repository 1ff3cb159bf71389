"""What a source of text gives: documents, of a training and of a validation split."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Document:
    """A text; characters before `loss_from` are context that carries no loss (a prompt).

    `ends` is False for a piece whose text continues in the next one.
    """

    text: str
    loss_from: int = 0
    ends: bool = True


class Source(Protocol):
    """What a data part reads from.

    `rows` packs whole documents into rows of one length, which `documents` is told; a stream has
    none. `entropy(seq_len)` is the loss of a perfect model in nats per token, where it is known.
    """

    @property
    def rows(self) -> bool: ...

    @property
    def identity(self) -> dict[str, Any]: ...

    def entropy(self, seq_len: int) -> float | None: ...

    def documents(self, split: str, length: int | None) -> Iterator[Document]: ...
