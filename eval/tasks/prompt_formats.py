"""From a problem to what the model reads and must write: the formats, few-shot prompts, answers.

A problem is written `prompt + target + STOP`. Formats:

    plain            12+34=   46
    reversed         12+34=   64          least significant digit first
    zero_padded      012+034= 0046        operands and answers of constant width
    reversed_padded  012+034= 6400
    question         Q: What is 12 plus 34?\\nA:   46           (Brown et al. 2020's wording)
    scratchpad       12+34:   2+4+0=06;1+3+0=04;#46         digit by digit, with carries
    chain_of_thought Q: What is 12 plus 34? Show the steps.\\nA: 2 plus 4 ... The answer is 46.
    verdict          12+34=36? no                                       is a proposed answer right?
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

STOP = "\n"
"""Ends every target. A model that never writes it has given no answer that ends."""

FORMATS = (
    "plain",
    "reversed",
    "zero_padded",
    "reversed_padded",
    "question",
    "scratchpad",
    "chain_of_thought",
    "verdict",
)
REVERSED = ("reversed", "reversed_padded")
PADDED = ("zero_padded", "reversed_padded")
WORKED = ("scratchpad", "chain_of_thought")
"""Formats whose target holds the working; the graded answer follows a mark in it."""

REGEX = "regex:"
"""Layout of a file's task that takes its answer by a regular expression, written behind this."""

_MARKS = {"scratchpad": "#", "chain_of_thought": "The answer is "}
_SPOKEN = (("+", " plus "), ("-", " minus "), ("*", " times "), ("=", " is "))


@dataclass(frozen=True, slots=True)
class Item:
    """What a model sees and what it must write before STOP.

    `answer` is the graded part where the target holds more than that (else empty: the target is
    graded). `choices` are alternative targets of a multiple-choice item, `choice_scores` their
    worth (BIG-bench's target_scores); `accepted` are further correct answers.
    """

    prompt: str
    target: str
    answer: str = ""
    choices: tuple[str, ...] = ()
    choice_scores: tuple[float, ...] = ()
    accepted: tuple[str, ...] = ()


class Problem(NamedTuple):
    """A problem in symbols and words; only formats that show the working write out `steps`."""

    question: str
    answer: str
    spoken: str = ""
    steps: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()


def item(problem: Problem, layout: str) -> Item:
    """A problem in a format; `question` must already end as its task writes it (`12+34`)."""
    question, answer, spoken, steps, choices, accepted = problem
    if layout in REVERSED:
        return Item(question + "=", answer[::-1])
    if layout == "question":
        offered = tuple(f" {choice}" for choice in choices)
        worth = _worth(answer, choices)
        return Item(f"Q: {spoken}?\nA:", f" {answer}", answer, offered, worth, accepted)
    if layout == "scratchpad":
        return Item(question + ":", "".join(f"{step};" for step in steps) + f"#{answer}", answer)
    if layout == "chain_of_thought":
        working = "".join(f" {_say(step)}." for step in steps)
        target = f"{working} The answer is {answer}."
        return Item(f"Q: {spoken}? Show the steps.\nA:", target, answer)
    end = "?" if layout == "verdict" else "="
    return Item(question + end, answer, "", choices, _worth(answer, choices), accepted)


def few_shot(shots: Sequence[Item], query: Item) -> Item:
    """The query behind worked examples, each as it stands in training: prompt, target, STOP."""
    context = "".join(shot.prompt + shot.target + STOP for shot in shots)
    return Item(
        context + query.prompt,
        query.target,
        query.answer,
        query.choices,
        query.choice_scores,
        query.accepted,
    )


def graded_part(output: str, layout: str) -> str:
    """The answer in an output cut at STOP; empty where a worked format never gives one."""
    if layout.startswith(REGEX):
        match = re.search(layout.removeprefix(REGEX), output)
        return match.group(match.lastindex or 0) if match else ""
    mark = _MARKS.get(layout)
    if mark is None:
        return output.strip() if layout in ("question", "text") else output
    _, found, answer = output.rpartition(mark)
    return answer.strip().rstrip(".") if found else ""


def _worth(answer: str, choices: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(float(choice == answer) for choice in choices)


def _say(step: str) -> str:
    for symbol, word in _SPOKEN:
        step = step.replace(symbol, word)
    return step
