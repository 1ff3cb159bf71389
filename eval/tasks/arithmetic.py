"""Arithmetic problems: operands from a named distribution, answers, and the written working."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.tasks.heldout_split import number_hash
from eval.tasks.prompt_formats import PADDED, WORKED, Problem

OPERANDS = ("uniform_value", "uniform_length", "exact_length")
"""uniform_value: each operand uniform on [0, 10^digits) (Brown et al. 2020); uniform_length: its
number of digits uniform on 1..digits, then its value; exact_length: exactly `digits` digits."""

VERDICTS = ("yes", "no")

Columns = list[NDArray[np.int64]]


@dataclass(frozen=True)
class Operation:
    """One arithmetic task. `max_digits` keeps every answer within 64 bits."""

    symbol: str
    word: str
    n_operands: int
    commutes: bool
    max_digits: int
    answer: Callable[[Columns, int], NDArray[np.int64]]
    answer_width: Callable[[int, int], int]
    steps: Callable[[Sequence[int], int], tuple[str, ...]]


def draw(
    task: str, digits: int, operands: str, rng: np.random.Generator, n: int
) -> NDArray[np.int64]:
    """Operands of n problems, shape (n, n_operands)."""
    shape = (n, OPERATIONS[task].n_operands)
    if operands == "uniform_value":
        return rng.integers(0, 10**digits, shape)
    if operands == "exact_length":
        return rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits, shape)
    length = rng.integers(1, digits + 1, shape)
    low = np.where(length > 1, 10 ** (length - 1), 0)
    return rng.integers(low, 10**length)


def hashes(task: str, operands: NDArray[np.int64], modulus: int) -> NDArray[np.uint64]:
    """Hash of each canonical problem: 3+5 and 5+3 are one; a modulus is part of the problem."""
    operation = OPERATIONS[task]
    ordered = np.sort(operands, axis=1) if operation.commutes else operands
    name = f"{task} {modulus}" if task == "modular" else task
    return number_hash(name, list(ordered.T))


def problems(
    task: str, operands: NDArray[np.int64], layout: str, digits: int, modulus: int
) -> list[Problem]:
    """The problems in symbols and words, with their working where the format shows it."""
    operation = OPERATIONS[task]
    columns = list(operands.T)
    width = f"0{digits}d" if layout in PADDED else ""
    texts = [[format(value, width) for value in column.tolist()] for column in columns]
    answers = operation.answer(columns, modulus).tolist()
    if layout in PADDED:
        sign = "+" if task == "subtraction" else ""
        answer_width = operation.answer_width(digits, modulus)
        written = [format(answer, f"{sign}0{answer_width}d") for answer in answers]
    else:
        written = [str(answer) for answer in answers]
    symbol, word = operation.symbol, f" {operation.word} "
    rows = zip(*texts, strict=True)
    if layout == "verdict":
        return _verdicts(
            task, operands, [_modulo(symbol.join(r), task, modulus) for r in rows], answers
        )
    if layout == "question" or layout in WORKED:
        with_steps = layout in WORKED
        return [
            Problem(
                _modulo(symbol.join(row), task, modulus),
                answer,
                f"What is {word.join(row)}" + (f" modulo {modulus}" if task == "modular" else ""),
                operation.steps([int(value) for value in row], modulus) if with_steps else (),
            )
            for row, answer in zip(rows, written, strict=True)
        ]
    if task == "modular":
        symbols = [_modulo(symbol.join(row), task, modulus) for row in rows]
    else:
        symbols = [symbol.join(row) for row in rows]
    return [Problem(question, answer) for question, answer in zip(symbols, written, strict=True)]


def _verdicts(
    task: str, operands: NDArray[np.int64], questions: list[str], answers: list[int]
) -> list[Problem]:
    """Half of the proposed answers are off by 1, 10 or 100; which and how follows from a hash."""
    noise = number_hash(f"verdict {task}", list(operands.T)).tolist()
    found = []
    for question, answer, bits in zip(questions, answers, noise, strict=True):
        wrong, sign, place = bits & 1, 1 - (bits & 2), (bits >> 2) % min(3, len(str(abs(answer))))
        proposed = answer + wrong * sign * 10**place
        found.append(Problem(f"{question}={proposed}", VERDICTS[wrong], choices=VERDICTS))
    return found


def _modulo(question: str, task: str, modulus: int) -> str:
    return f"({question})%{modulus}" if task == "modular" else question


def _addition_steps(operands: Sequence[int], modulus: int) -> tuple[str, ...]:
    """Digit sums from the least significant, each with the carry it receives: 9+7+0=16."""
    a, b = operands
    width, carry, steps = max(len(str(a)), len(str(b))), 0, []
    for place in range(width):
        x, y = a // 10**place % 10, b // 10**place % 10
        total = x + y + carry
        steps.append(f"{x}+{y}+{carry}={total:02d}")
        carry = total // 10
    return tuple(steps)


def _subtraction_steps(operands: Sequence[int], modulus: int) -> tuple[str, ...]:
    """Digit differences, the smaller operand from the larger; a borrowing digit is written 1x."""
    low, high = sorted(operands)
    borrow, steps = 0, []
    for place in range(len(str(high))):
        x, y = high // 10**place % 10, low // 10**place % 10
        lends = x - y - borrow < 0
        steps.append(f"{x + 10 * lends}-{y}-{borrow}={x + 10 * lends - y - borrow}")
        borrow = int(lends)
    return tuple(steps)


def _multiplication_steps(operands: Sequence[int], modulus: int) -> tuple[str, ...]:
    """Products with each digit of the second operand in its place, summed as they come."""
    a, b = operands
    total, steps = 0, []
    for place in range(len(str(b))):
        factor = b // 10**place % 10 * 10**place
        steps.append(f"{a}*{factor}={a * factor}")
        if place:
            steps.append(f"{total}+{a * factor}={total + a * factor}")
        total += a * factor
    return tuple(steps)


def _three_operand_steps(operands: Sequence[int], modulus: int) -> tuple[str, ...]:
    a, b, c = operands
    return (f"{a}+{b}={a + b}", f"{a + b}+{c}={a + b + c}")


def _modular_steps(operands: Sequence[int], modulus: int) -> tuple[str, ...]:
    a, b = operands
    multiple = (a + b) // modulus * modulus
    return (f"{a}+{b}={a + b}", f"{a + b}-{multiple}={(a + b) % modulus}")


OPERATIONS: dict[str, Operation] = {
    "addition": Operation(
        "+", "plus", 2, True, 18,
        lambda x, m: x[0] + x[1], lambda digits, m: digits + 1, _addition_steps,
    ),
    "subtraction": Operation(
        "-", "minus", 2, False, 18,
        lambda x, m: x[0] - x[1], lambda digits, m: digits + 1, _subtraction_steps,
    ),
    "multiplication": Operation(
        "*", "times", 2, True, 9,
        lambda x, m: x[0] * x[1], lambda digits, m: 2 * digits, _multiplication_steps,
    ),
    "three_operand": Operation(
        "+", "plus", 3, True, 18,
        lambda x, m: x[0] + x[1] + x[2], lambda digits, m: digits + 1, _three_operand_steps,
    ),
    "modular": Operation(
        "+", "plus", 2, True, 18,
        lambda x, m: (x[0] + x[1]) % m, lambda digits, m: len(str(m - 1)), _modular_steps,
    ),
}  # fmt: skip
