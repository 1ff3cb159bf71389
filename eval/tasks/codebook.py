"""Recall of a table, a task whose answers are as wrong as their tokens are, one by one.

A string of keys is translated into digits, each key by a fixed random table:

    ahc bfg aaa=    073

Strings are new, keys are not: nothing has to be computed, and each digit is right or wrong on its
own, so an answer of L digits is right with probability p^L. Keys follow Zipf's law, so that common
ones are learned by small models and rare ones by large models only, and p rises smoothly with N.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from eval.tasks.generated import SPLITS, TaskError
from eval.tasks.heldout_split import is_heldout, text_hash
from eval.tasks.prompt_formats import Item, Problem, item

TASK = "codebook"

CODEBOOK_VERSION = 1
"""Enters data fingerprints and stored results: raised whenever a spec's items change."""

LENGTHS = ("exact_length", "uniform_length")
SHORTEST = 2
"""Keys in the shortest string: a tenth of the strings of one key would be keys that nobody saw."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_CHUNK = 4096


@dataclass(frozen=True)
class CodebookSpec:
    """The table and the strings.

    Attributes:
        length: Keys in a string, so digits in an answer.
        n_keys: Different keys, at most n_letters ** key_length.
        exponent: Of Zipf's law of the keys; 0 draws all alike.
        n_classes: Different digits; a guess is right once in n_classes at best.
        n_letters: Letters of which keys are written.
        key_length: Letters in a key.
        lengths: exact_length: `length` keys each; uniform_length: from 2 to `length`, all alike.
        table_seed: Which random table.
    """

    length: int = 5
    n_keys: int = 512
    exponent: float = 1.0
    n_classes: int = 10
    n_letters: int = 8
    key_length: int = 3
    lengths: str = "exact_length"
    table_seed: int = 0

    def __post_init__(self) -> None:
        if self.lengths not in LENGTHS:
            raise TaskError(f"lengths={self.lengths!r} is unknown; expected {', '.join(LENGTHS)}")
        for name, low, high in (
            ("length", SHORTEST, 64),
            ("n_letters", 2, len(_LETTERS)),
            ("key_length", 1, 8),
            ("n_classes", 2, len(_DIGITS)),
            ("exponent", 0, 10),
            ("n_keys", self.n_classes, self.n_letters**self.key_length),
        ):
            got = getattr(self, name)
            if not low <= got <= high:
                raise TaskError(f"codebook: {name}={got} must lie in {low}..{high}")

    @property
    def task(self) -> str:
        return TASK

    @property
    def name(self) -> str:
        """What is asked, by the table's size and the longest string: codebook-512-L5."""
        extra = "" if self.n_classes == len(_DIGITS) else f"-{self.n_classes}classes"
        zipf = "" if self.exponent == 1 else f"-zipf{self.exponent:g}"
        return f"{TASK}-{self.n_keys}{zipf}{extra}-L{self.length}"

    @property
    def label(self) -> str:
        """Name of result files."""
        return self.name + ("" if self.lengths == "exact_length" else f"-{self.lengths}")

    @property
    def alphabet(self) -> str:
        """Every character of the task's texts, the stop string left out."""
        return _LETTERS[: self.n_letters] + _DIGITS + " ="


@dataclass(frozen=True)
class Codebook:
    """Keys, commonest first, with the digit and the probability of each."""

    keys: tuple[str, ...]
    digits: NDArray[np.int64]
    cumulative: NDArray[np.float64]


@lru_cache(maxsize=8)
def codebook(
    n_keys: int, exponent: float, n_classes: int, n_letters: int, key_length: int, table_seed: int
) -> Codebook:
    """The table of a spec's fields: which strings are keys, in order of frequency."""
    rng = np.random.default_rng([table_seed, n_keys, n_classes, n_letters, key_length])
    chosen = rng.permutation(n_letters**key_length)[:n_keys].tolist()
    digits = rng.integers(0, n_classes, n_keys)
    weights = np.arange(1, n_keys + 1, dtype=float) ** -exponent
    keys = tuple(_key(number, n_letters, key_length) for number in chosen)
    return Codebook(keys, digits, np.cumsum(weights / weights.sum()))


def training_strings(spec: CodebookSpec, n_items: int, seed: int) -> list[Item]:
    """The first n items of the training stream of this seed; none is a held-out string."""
    return list(islice(_stream(spec, seed, "train"), n_items))


def heldout_strings(spec: CodebookSpec, n_items: int, seed: int) -> list[Item]:
    """The first n items of the held-out stream: strings that no training ever shows."""
    return list(islice(_stream(spec, seed, "heldout"), n_items))


def _stream(spec: CodebookSpec, seed: int, split: str) -> Iterator[Item]:
    """Items of one side of the split; a chunk has a constant size, so that streams are stable."""
    book = codebook(
        spec.n_keys, spec.exponent, spec.n_classes, spec.n_letters, spec.key_length, spec.table_seed
    )
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    shortest = spec.length if spec.lengths == "exact_length" else SHORTEST
    while True:
        ranks = np.searchsorted(book.cumulative, rng.random((_CHUNK, spec.length)), side="right")
        counts = rng.integers(shortest, spec.length + 1, _CHUNK)
        rows = [row[:count] for row, count in zip(ranks.tolist(), counts.tolist(), strict=True)]
        texts = [" ".join(book.keys[rank] for rank in row) for row in rows]
        held = is_heldout(text_hash(TASK, texts)).tolist()
        for text, row, out in zip(texts, rows, held, strict=True):
            if out == (split == "heldout"):
                yield item(Problem(text, "".join(str(book.digits[r]) for r in row)), "plain")


def _key(number: int, n_letters: int, key_length: int) -> str:
    letters = ""
    for _ in range(key_length):
        number, index = divmod(number, n_letters)
        letters += _LETTERS[index]
    return letters
