"""Tasks from files: BIG-bench's task.json, and JSONL of prompts with targets or choices.

JSONL rows are `{"prompt": ..., "target": ...}` (optional `accepted`: further right answers) or
`{"prompt": ..., "choices": [...], "answer": index or text}`. Which split a file belongs to is not
known here, so its items are called `test`.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.tasks.eval_set import EvalSet
from eval.tasks.generated import TaskError
from eval.tasks.prompt_formats import REGEX, STOP, Item

FILE_VERSION = 1
SPLIT = "test"

DECODED = ("exact_str_match", "exact_match")
SCORED = ("multiple_choice_grade", "expected_calibration_error", "multiple_choice_brier_score")
"""BIG-bench metric names that correspond to metrics here; others are counted as not computed."""


@dataclass(frozen=True)
class _Source:
    """Items of a file before shots are put in front of them."""

    name: str
    items: list[Item]
    separator: str
    prefix: str = ""
    layout: str = "text"
    decode: bool = True
    not_computed: tuple[str, ...] = ()


def file_set(path: Path, shots: int, n_items: int, seed: int) -> EvalSet:
    """The items of a file, at most n_items drawn without replacement, shots from its other items.

    Raises:  TaskError: unreadable or malformed file, no items, or fewer items than shots need.
    """
    content = _read(path)
    source = (_jsonl if path.suffix == ".jsonl" else _bigbench)(path, content)
    if not source.items:
        raise TaskError(f"path={path} has no items; expected at least one example")
    if shots < 0 or shots >= len(source.items):
        raise TaskError(
            f"task.shots={shots} with {len(source.items)} items in {path}; expected 0 to "
            f"{len(source.items) - 1}, since an item is never its own example"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(source.items))[:n_items]
    excluded = {f"metric {name}: not computed": 1 for name in source.not_computed}
    if len(source.items) > n_items:
        excluded["items beyond n_items"] = len(source.items) - n_items
    return EvalSet(
        label=re.sub(r"[^\w.-]+", "_", source.name) + (f"-{shots}shot" if shots else ""),
        task=source.name,
        format="file",
        n_shots=shots,
        splits={SPLIT: [_with_shots(source, int(i), shots, rng) for i in chosen]},
        identity={
            "file": hashlib.sha256(content.encode()).hexdigest(),
            "version": FILE_VERSION,
            "shots": shots,
            "n_items": n_items,
            "seed": seed,
        },
        decode=source.decode,
        layout=source.layout,
        excluded=excluded,
    )


def _with_shots(source: _Source, index: int, shots: int, rng: np.random.Generator) -> Item:
    others = [i for i in rng.permutation(len(source.items))[: shots + 1] if i != index][:shots]
    examples = "".join(
        source.items[i].prompt + source.items[i].target + source.separator for i in others
    )
    item = source.items[index]
    return _spaces_moved(replace(item, prompt=source.prefix + examples + item.prompt))


def _spaces_moved(item: Item) -> Item:
    """Spaces that end a prompt start its continuations instead, as tokenizers expect them."""
    bare = item.prompt.rstrip(" ")
    spaces = item.prompt[len(bare) :]
    return replace(
        item,
        prompt=bare,
        target=spaces + item.target,
        answer=item.answer or item.target.strip(),
        choices=tuple(spaces + choice for choice in item.choices),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TaskError(f"path={path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"path={path} can't be read as UTF-8 text: {error}") from error


def _jsonl(path: Path, content: str) -> _Source:
    lines = [(i, line) for i, line in enumerate(content.splitlines(), 1) if line.strip()]
    items = [_row_item(_parsed(line, f"{path} line {i}"), f"{path} line {i}") for i, line in lines]
    decode = any(not item.choices for item in items)
    return _Source(path.stem, items, separator=2 * STOP, decode=decode)


def _row_item(row: Any, where: str) -> Item:
    prompt = _field(row, "prompt", str, where)
    if "choices" in row:
        choices = _strings(row["choices"], "choices", where)
        answer = _field(row, "answer", (int, str), where)
        index = choices.index(answer) if answer in choices else answer
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(choices):
            raise TaskError(f"{where}: answer {answer!r} is neither a choice nor an index of one")
        scores = tuple(float(i == index) for i in range(len(choices)))
        return Item(prompt, choices[index], "", choices, scores)
    accepted = _strings(row.get("accepted", []), "accepted", where)
    return Item(prompt, _target(_field(row, "target", str, where), where), accepted=accepted)


def _bigbench(path: Path, content: str) -> _Source:
    """BIG-bench's JSON task format, with its default prefixes."""
    task = _parsed(content, str(path))
    examples = _field(task, "examples", list, str(path))
    metrics = _strings(task.get("metrics", []), "metrics", str(path))
    stop = task.get("stop_string", STOP)
    if stop != STOP:
        raise TaskError(f"{path}: stop_string={stop!r} can't be had; outputs end at a line break")
    items = [_example_item(task, one, f"{path} example {i}") for i, one in enumerate(examples)]
    scored_alone = all(item.choices for item in items)
    decode = any(name in DECODED for name in metrics) or not scored_alone
    return _Source(
        name=str(task.get("name") or path.parent.name or path.stem),
        items=items,
        separator=str(task.get("few_shot_example_separator", STOP)),
        prefix=str(task.get("task_prefix", "")),
        layout=_regex(task, path),
        decode=decode,
        not_computed=tuple(name for name in metrics if name not in (*DECODED, *SCORED)),
    )


def _regex(task: dict[str, Any], path: Path) -> str:
    pattern = task.get("output_regex")
    if not pattern:
        return "text"
    try:
        re.compile(str(pattern))
    except re.error as error:
        raise TaskError(f"{path}: output_regex={pattern!r} is no regular expression") from error
    return f"{REGEX}{pattern}"


def _example_item(task: dict[str, Any], example: Any, where: str) -> Item:
    question = _field(example, "input", str, where)
    before = str(task.get("example_input_prefix", "\nQ: "))
    after = str(task.get("example_output_prefix", "\nA: "))
    scores = example.get("target_scores")
    if scores is None:
        given = _field(example, "target", (str, list), where)
        targets = _strings([given] if isinstance(given, str) else given, "target", where)
        if not targets:
            raise TaskError(f"{where}: target is an empty list; expected at least one answer")
        first = _target(targets[0], where)
        further = tuple(target.strip() for target in targets[1:])
        return Item(before + question + after, first, accepted=further)
    if not isinstance(scores, dict) or not scores:
        raise TaskError(f"{where}: target_scores must map each choice to its score; got {scores!r}")
    choices = tuple(str(choice) for choice in scores)
    worth = _numbers(list(scores.values()), where)
    listed = ""
    if task.get("append_choices_to_input", True):
        mark = str(task.get("choice_prefix", "\n  choice: "))
        listed = "".join(mark + choice for choice in choices)
    right = choices[int(np.argmax(worth))]
    return Item(before + question + listed + after, right, "", choices, worth)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TaskError(f"{where} is no JSON ({error})") from error


def _field(row: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    if not isinstance(row, dict):
        raise TaskError(f"{where}: expected a JSON object with {name!r}; got {row!r:.60}")
    if name not in row:
        have = ", ".join(map(str, row)) or "nothing"
        raise TaskError(f"{where} has no {name!r}; it has {have}")
    if not isinstance(row[name], kind):
        raise TaskError(f"{where}: {name}={row[name]!r:.60} has the wrong type")
    return row[name]


def _strings(values: Any, name: str, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise TaskError(f"{where}: {name} must be a list of texts; got {values!r:.60}")
    return tuple(values)


def _numbers(values: list[Any], where: str) -> tuple[float, ...]:
    convert: Callable[[Any], float] = float
    try:
        return tuple(convert(value) for value in values)
    except (TypeError, ValueError) as error:
        raise TaskError(f"{where}: target_scores must be numbers; got {values!r:.60}") from error


def _target(text: str, where: str) -> str:
    if STOP in text.strip():
        raise TaskError(f"{where}: the target {text!r:.40} holds a line break, which ends answers")
    return text
