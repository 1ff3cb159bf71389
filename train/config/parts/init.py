"""The weights that a run begins with."""

from dataclasses import dataclass

from train.config.errors import require
from train.config.identity import described


@dataclass(frozen=True)
class InitSpec:
    """A checkpoint whose weights a run begins with, known by the SHA-256 of its weights' files.

    `path` is where it was found; `n_params` and `n_tokens` are its N and the D that it was trained
    on, None where that is not known.
    """

    sha256: str = ""
    path: str = described("")
    n_params: int | None = described(None)
    n_tokens: float | None = described(None)

    def __post_init__(self) -> None:
        require(
            len(self.sha256) == 64, f"init.sha256={self.sha256!r} is no SHA-256; use init_from="
        )
