"""Generated tasks: a frozen spec, and items drawn from its train or its held-out split.

The items of one spec and seed are a stream: asking for more continues it, so the first items that a
run trained on are the first items asked for again. Items are independent draws from the stated
distribution, restricted to one side of the split (`eval.split`).
"""

from dataclasses import dataclass

import numpy as np

from eval import arithmetic
from eval.formats import FORMATS, STOP, Item, Problem, few_shot, item
from eval.split import is_heldout
from train.spec import IsoflopError

TASK_VERSION = 1
"""Enters data fingerprints and stored results: raised whenever a spec's items change."""

SPLITS = ("train", "heldout")
TASKS = tuple(arithmetic.OPERATIONS)
_CHUNK = 65536
_MAX_EMPTY_CHUNKS = 8


class TaskError(IsoflopError):
    """A task that can't be posed."""


@dataclass(frozen=True)
class TaskSpec:
    """Which problems are posed, how operands are drawn, and in which format."""

    task: str = "addition"
    digits: int = 3
    operands: str = "uniform_value"
    format: str = "plain"
    shots: int = 0
    modulus: int = 7

    def __post_init__(self) -> None:
        _one_of("task", self.task, TASKS)
        _one_of("format", self.format, FORMATS)
        _one_of("operands", self.operands, arithmetic.OPERANDS)
        limit = arithmetic.OPERATIONS[self.task].max_digits
        _require(
            1 <= self.digits <= limit,
            f"digits={self.digits} of task={self.task} must lie in 1..{limit} (64-bit answers)",
        )
        _require(0 <= self.shots <= 64, f"shots={self.shots} must lie in 0..64")
        _require(self.modulus >= 2, f"modulus={self.modulus} must be at least 2")

    @property
    def name(self) -> str:
        """What is asked, without format and shots: addition-3."""
        parts = [self.task, str(self.digits)]
        if self.operands != "uniform_value":
            parts.append(self.operands)
        if self.task == "modular":
            parts.append(f"mod{self.modulus}")
        return "-".join(parts)

    @property
    def label(self) -> str:
        """Name of result files: addition-3-reversed, addition-3-plain-2shot."""
        return f"{self.name}-{self.format}" + (f"-{self.shots}shot" if self.shots else "")


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
    sample = training_items(spec, 2000, seed=0)
    seen = set(STOP + "".join(one.prompt + one.target for one in sample))
    return "".join(sorted(seen | set("0123456789")))


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
    chunks, n_found, n_chunks = [], 0, 0
    while n_found < n:
        operands = arithmetic.draw(spec.task, spec.digits, spec.operands, rng, _CHUNK)
        heldout = is_heldout(arithmetic.hashes(spec.task, operands, spec.modulus))
        chunks.append(operands[heldout == (split == "heldout")])
        n_found, n_chunks = n_found + len(chunks[-1]), n_chunks + 1
        _require(
            n_found > 0 or n_chunks < _MAX_EMPTY_CHUNKS,
            f"{spec.name} has no problem in its {split} split; raise digits",
        )
    operands = np.concatenate(chunks)[:n]
    return arithmetic.problems(spec.task, operands, spec.format, spec.digits, spec.modulus)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise TaskError(message)


def _one_of(what: str, got: str, expected: tuple[str, ...]) -> None:
    _require(got in expected, f"{what}={got!r} is unknown; expected one of {', '.join(expected)}")
