"""A process that tokenises what it is sent, on one core, until its input ends.

    python -m train.data.prepared.encode_worker

It reads lines of JSON from standard input, first its `Encoding` and then lists of pieces, and
answers each of these on standard output: a line of JSON, then the bytes whose lengths it names.
"""

import json
import os
import sys
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from train.data.prepared.holdout import PIECE
from train.data.text_files import piece_hash
from train.data.tokenizer import TextCodec

BATCH_PIECES = 64
"""Pieces that are tokenised by one call, which bounds the memory of their encodings."""


@dataclass(frozen=True)
class Encoding:
    """How text becomes ids: a tokenizer's JSON, the id that ends documents, the ids' type."""

    tokenizer: str
    end_id: int
    dtype: str


@dataclass(frozen=True)
class Encoded:
    """Ids of some pieces one after another, and a PIECE record of each, as bytes; or an error."""

    tokens: bytes
    pieces: bytes
    error: str = ""

    def write(self, file: IO[bytes]) -> None:
        lengths = [len(self.tokens), len(self.pieces)]
        header = {"lengths": lengths, "error": self.error}
        file.write(json.dumps(header).encode() + b"\n" + self.tokens + self.pieces)
        file.flush()

    @classmethod
    def read(cls, file: IO[bytes]) -> "Encoded":
        """What `write` wrote.

        Raises:  EOFError: the file ends before.
        """
        line = file.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        header = json.loads(line)
        n_tokens, n_pieces = header["lengths"]
        tokens, pieces = file.read(n_tokens), file.read(n_pieces)
        if (len(tokens), len(pieces)) != (n_tokens, n_pieces):
            raise EOFError
        return cls(tokens, pieces, header["error"])


def encode_pieces(codec: TextCodec, pieces: list[tuple[str, bool]], dtype: str) -> Encoded:
    """Ids of pieces in order, the end token behind each that is the last of its document."""
    made = np.zeros(len(pieces), PIECE)
    found: list[NDArray[Any]] = []
    for start in range(0, len(pieces), BATCH_PIECES):
        batch = pieces[start : start + BATCH_PIECES]
        for number, (text, last), ids in zip(
            range(start, start + len(batch)),
            batch,
            _encode(codec, [text for text, _ in batch]),
            strict=True,
        ):
            if last:
                ids = np.append(ids, np.asarray(codec.end_id, ids.dtype))
            found.append(ids.astype(dtype))
            n_bytes = len(text.encode("utf-8", "surrogatepass"))
            digest = int.from_bytes(piece_hash(text)[:8], "big")
            made[number] = (digest, len(ids), n_bytes, last)
    joined = np.concatenate(found) if found else np.empty(0, dtype)
    return Encoded(joined.tobytes(), made.tobytes())


def _encode(codec: TextCodec, texts: list[str]) -> list[NDArray[np.int64]]:
    if codec.table is not None:
        return [codec.encode(text) for text in texts]
    try:
        encodings = codec.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    except (UnicodeEncodeError, TypeError):
        # JSON may hold halves of surrogate pairs, which no tokenizer takes.
        whole = [text.encode("utf-8", "replace").decode() for text in texts]
        encodings = codec.tokenizer.encode_batch_fast(whole, add_special_tokens=False)
    return [np.asarray(encoding.ids, np.int64) for encoding in encodings]


def main() -> int:
    # What a library prints must not end up between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout = sys.stderr
    with answers:
        try:
            encoding = Encoding(**json.loads(sys.stdin.buffer.readline()))
            codec = TextCodec(Tokenizer.from_str(encoding.tokenizer), encoding.end_id)
            while line := sys.stdin.buffer.readline():
                try:
                    answer = encode_pieces(codec, json.loads(line), encoding.dtype)
                except Exception as error:
                    answer = Encoded(b"", b"", f"{type(error).__name__}: {error}")
                answer.write(answers)
        except (ValueError, BrokenPipeError):  # whoever asked is gone, in the middle of a line
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
