"""Generated tasks: a frozen spec, and items drawn from its train or its held-out split.

The items of one spec and seed are a stream: asking for more continues it, so the first items that a
run trained on are the first items asked for again. Items are independent draws from the stated
distribution, restricted to one side of the split (`eval.tasks.heldout_split`).
"""

import string
from dataclasses import dataclass

import numpy as np

from eval.tasks import arithmetic
from eval.tasks import word_tasks as words
from eval.tasks.heldout_split import is_heldout, text_hash
from eval.tasks.prompt_formats import FORMATS, STOP, Item, Problem, few_shot, item
from train.config.spec import IsoflopError

TASK_VERSION = 1
"""Enters data fingerprints and stored results: raised whenever a spec's items change."""

SPLITS = ("train", "heldout")
TASKS = (*arithmetic.OPERATIONS, *words.TASKS)
WORD_FORMATS = ("plain", "question")
_CHUNK = 65536
_WORD_CHUNK = 2048
_MAX_EMPTY_CHUNKS = 8
_SIZED = (*words.LETTERED, "grid")


class TaskError(IsoflopError):
    """A task that can't be posed."""


@dataclass(frozen=True)
class TaskSpec:
    """Which problems are posed, how operands are drawn, and in which format.

    `digits`, `operands` and `modulus` belong to arithmetic, `letters` to tasks on words, `side` to
    the grid; the others ignore them.
    """

    task: str = "addition"
    digits: int = 3
    operands: str = "uniform_value"
    format: str = "plain"
    shots: int = 0
    modulus: int = 7
    letters: int = 5
    side: int = 4

    def __post_init__(self) -> None:
        _one_of("task", self.task, TASKS)
        _one_of("format", self.format, FORMATS)
        _one_of("operands", self.operands, arithmetic.OPERANDS)
        _require(0 <= self.shots <= 64, f"shots={self.shots} must lie in 0..64")
        _require(self.modulus >= 2, f"modulus={self.modulus} must be at least 2")
        if self.task in words.TASKS:
            self._check_words()
            return
        limit = arithmetic.OPERATIONS[self.task].max_digits
        _require(
            1 <= self.digits <= limit,
            f"digits={self.digits} of task={self.task} must lie in 1..{limit} (64-bit answers)",
        )

    def _check_words(self) -> None:
        _require(
            self.format in WORD_FORMATS,
            f"format={self.format} has no meaning for task={self.task}; "
            f"expected one of {', '.join(WORD_FORMATS)}",
        )
        _require(2 <= self.side <= 9, f"side={self.side} must lie in 2..9")
        lengths = words.UNSCRAMBLE_LENGTHS if self.task == "unscramble" else range(2, 65)
        _require(
            self.letters in lengths,
            f"letters={self.letters} of task={self.task} must lie in {lengths[0]}..{lengths[-1]}",
        )

    @property
    def name(self) -> str:
        """What is asked, without operands, format and shots: addition-3."""
        return self._named("")

    @property
    def label(self) -> str:
        """Name of result files: addition-3-reversed, addition-3-uniform_length-plain-2shot."""
        named = self._named("" if self.operands == "uniform_value" else f"-{self.operands}")
        return f"{named}-{self.format}" + (f"-{self.shots}shot" if self.shots else "")

    def _named(self, operands: str) -> str:
        if self.task in words.TASKS:
            extent = self.letters if self.task in words.LETTERED else self.side
            return f"{self.task}-{extent}" if self.task in _SIZED else self.task
        modulus = f"-mod{self.modulus}" if self.task == "modular" else ""
        return f"{self.task}-{self.digits}{operands}{modulus}"


def training_items(spec: TaskSpec, n_items: int, seed: int) -> list[Item]:
    """The first n items of the train split's stream of this seed; none is a held-out problem.

    Raises:  TaskError: the split holds no problem.
    """
    return _items(spec, n_items, seed, "train")


def heldout_items(spec: TaskSpec, n_items: int, seed: int) -> list[Item]:
    """The first n items of the held-out split's stream; their few-shot examples are train problems.

    Raises:  TaskError: the split holds no problem.
    """
    return _items(spec, n_items, seed, "heldout")


def alphabet(spec: TaskSpec) -> str:
    """Every character that the task's texts can contain, sorted, STOP included."""
    sample = training_items(spec, 1000, seed=0)
    seen = set(STOP + "".join(one.prompt + one.target + "".join(one.choices) for one in sample))
    open_ended = string.ascii_lowercase if spec.task in words.TASKS else string.digits
    return "".join(sorted(seen | set(open_ended)))


def _items(spec: TaskSpec, n_items: int, seed: int, split: str) -> list[Item]:
    _require(n_items >= 1, f"n_items={n_items} must be at least 1")
    queries = [item(problem, spec.format) for problem in _draw(spec, n_items, [seed], split)]
    if not spec.shots:
        return queries
    examples = _draw(spec, n_items * spec.shots, [seed, SPLITS.index(split) + 1], "train")
    shown = [item(problem, spec.format) for problem in examples]
    return [
        few_shot(shown[i * spec.shots : (i + 1) * spec.shots], query)
        for i, query in enumerate(queries)
    ]


def _draw(spec: TaskSpec, n: int, seed: list[int], split: str) -> list[Problem]:
    """Problems of one split by rejection, in chunks of constant size so that streams are stable."""
    rng = np.random.default_rng([*seed, SPLITS.index(split)])
    draw = _word_chunk if spec.task in words.TASKS else _arithmetic_chunk
    found: list[Problem] = []
    n_chunks = 0
    while len(found) < n:
        found += draw(spec, rng, split == "heldout", n - len(found))
        n_chunks += 1
        _require(
            len(found) > 0 or n_chunks < _MAX_EMPTY_CHUNKS,
            f"{spec.name} has no problem in its {split} split; make its problems larger",
        )
    return found


def _arithmetic_chunk(
    spec: TaskSpec, rng: np.random.Generator, heldout: bool, wanted: int
) -> list[Problem]:
    operands = arithmetic.draw(spec.task, spec.digits, spec.operands, rng, _CHUNK)
    held = is_heldout(arithmetic.hashes(spec.task, operands, spec.modulus))
    chosen = operands[held == heldout][:wanted]
    return arithmetic.problems(spec.task, chosen, spec.format, spec.digits, spec.modulus)


def _word_chunk(
    spec: TaskSpec, rng: np.random.Generator, heldout: bool, wanted: int
) -> list[Problem]:
    draw = words.TASKS[spec.task]
    drawn = [draw(rng, spec.letters, spec.side) for _ in range(_WORD_CHUNK)]
    held = is_heldout(text_hash(spec.task, [canonical for canonical, _ in drawn]))
    chosen = [problem for (_, problem), out in zip(drawn, held, strict=True) if out == heldout]
    return chosen[:wanted]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise TaskError(message)


def _one_of(what: str, got: str, expected: tuple[str, ...]) -> None:
    _require(got in expected, f"{what}={got!r} is unknown; expected one of {', '.join(expected)}")
