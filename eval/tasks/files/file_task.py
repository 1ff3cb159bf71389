"""Tasks from files: BIG-bench's task.json, and rows of prompts with targets or choices.

Rows (JSONL or parquet, also as .gz) are `{"prompt": ..., "target": ...}` (optional `accepted`:
further right answers) or `{"prompt": ..., "choices": [...], "answer": index or text}`. Which split
a file belongs to is not known here, so its items are called `test`.
"""

import dataclasses
import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as default
from pathlib import Path
from typing import Any

import numpy as np

from eval.tasks.eval_set import EvalSet
from eval.tasks.files.big_bench import big_bench_source, named, subtask_files
from eval.tasks.files.rows import field, read_bytes, rows_of, strings, text_of
from eval.tasks.files.source import Source
from eval.tasks.generated import TaskError
from eval.tasks.grading import Grading
from eval.tasks.prompt_formats import STOP, Item

_log = logging.getLogger(__name__)

FILE_VERSION = 3
SPLIT = "test"


@dataclass(frozen=True)
class FileOptions:
    """How a file is asked; conf/task/file.yaml explains each setting.

    `separator` (between shots), `stop`, `extract` and `normalize` replace what the file says. In
    the first two \\n and \\t mean a line end and a tab, which a command line can't hold.
    """

    shots: int = 0
    shots_from: str | None = None
    columns: Mapping[str, str] = default(default_factory=dict)
    separator: str | None = None
    stop: str | None = None
    extract: str | None = None
    which: str = "first"
    normalize: str = "none"
    numeric: bool = False


def file_options(task: Mapping[str, Any]) -> FileOptions:
    """The settings of `task` for a file.

    Raises:  TaskError: a setting that files do not have.
    """
    known = {one.name for one in dataclasses.fields(FileOptions)}
    given = {name: value for name, value in task.items() if name != "task"}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise TaskError(
            f"task.{unknown[0]} is no setting of a file; expected {', '.join(sorted(known))}"
        )
    for name in ("separator", "stop"):
        if isinstance(given.get(name), str):
            given[name] = given[name].replace("\\n", "\n").replace("\\t", "\t")
    return FileOptions(**given)


def file_set(path: Path, options: FileOptions, n_items: int, seed: int) -> EvalSet:
    """The items of a file, at most n_items drawn without replacement, shots in front of each.

    Shots are other items of the file, or of `shots_from`; never one with the same prompt.
    Raises:  TaskError: unreadable or malformed file, no items, or fewer items than shots need.
    """
    source, content = _source(path, options)
    pool, identity = source.items, {}
    if options.shots_from is not None:
        others, theirs = _source(Path(options.shots_from), options)
        pool, identity = others.items, {"shots_from": hashlib.sha256(theirs).hexdigest()}
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(source.items))[:n_items]
    excluded = dict(source.excluded)
    if len(source.items) > n_items:
        excluded["items beyond n_items"] = len(source.items) - n_items
    items = [
        _with_shots(source, source.items[int(i)], pool, options.shots, rng, path) for i in chosen
    ]
    _warn_of_joins(items, path)
    shown = dataclasses.asdict(options) | {"columns": dict(options.columns)}
    return EvalSet(
        label=re.sub(r"[^\w.-]+", "_", source.name)
        + (f"-{options.shots}shot" if options.shots else ""),
        task=source.name,
        format="file",
        n_shots=options.shots,
        splits={SPLIT: items},
        identity={
            "file": hashlib.sha256(content).hexdigest(),
            "version": FILE_VERSION,
            **shown,
            **identity,
            "n_items": n_items,
            "seed": seed,
        },
        decode=source.decode,
        layout=source.grading.layout,
        excluded=excluded,
    )


def _source(path: Path, options: FileOptions) -> tuple[Source, bytes]:
    if path.is_dir():
        subtasks = subtask_files(path)
        own = path / "task.json"
        if not own.is_file():
            hint = named(subtasks) if subtasks else "name a task.json or a file of rows"
            raise TaskError(f"path={path} is a directory; {hint}")
        path = own
    content = read_bytes(path)
    names = [suffix for suffix in path.suffixes if suffix != ".gz"]
    if names[-1:] == [".json"]:
        source = _overridden(big_bench_source(path, text_of(content, path)), options)
    else:
        source = _rows_source(path, content, options)
    if not source.items:
        raise TaskError(f"path={path} has no items; expected at least one example")
    for item in source.items:
        if source.grading.stop in item.target.strip() and not item.choices:
            raise TaskError(
                f"{path}: the target {item.target!r:.40} holds a line break or stop string "
                f"({source.grading.stop!r}), which ends answers; set task.stop"
            )
    return source, content


def _rows_source(path: Path, content: bytes, options: FileOptions) -> Source:
    items = [_row_item(row, where) for where, row in rows_of(path, content, options.columns)]
    name = path.name.removesuffix(".gz")
    return _overridden(
        Source(
            name.rpartition(".")[0] or name,
            items,
            2 * STOP,
            Grading(),
            decode=any(not item.choices for item in items),
        ),
        options,
    )


def _overridden(source: Source, options: FileOptions) -> Source:
    rules = {name: getattr(options, name) for name in ("which", "normalize", "numeric")}
    given = {name: value for name in ("stop", "extract")
             if (value := getattr(options, name)) is not None}  # fmt: skip
    grading = replace(source.grading, **rules, **given)
    separator = source.separator if options.separator is None else options.separator
    return replace(source, grading=grading, separator=separator)


def _row_item(row: Any, where: str) -> Item:
    prompt = field(row, "prompt", str, where)
    if row.get("choices") is not None:
        choices = strings(row["choices"], "choices", where)
        answer = field(row, "answer", (int, str), where)
        index = choices.index(answer) if answer in choices else answer
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(choices):
            raise TaskError(f"{where}: answer {answer!r} is neither a choice nor an index of one")
        scores = tuple(float(i == index) for i in range(len(choices)))
        return Item(prompt, choices[index], "", choices, scores)
    accepted = strings(row.get("accepted") or [], "accepted", where)
    return Item(prompt, field(row, "target", str, where), accepted=accepted)


def _with_shots(
    source: Source,
    item: Item,
    pool: Sequence[Item],
    shots: int,
    rng: np.random.Generator,
    path: Path,
) -> Item:
    """An item behind its examples, none of which has its prompt."""
    others = []
    for i in rng.permutation(len(pool)) if shots else ():
        if len(others) == shots:
            break
        if pool[i].prompt.split() != item.prompt.split():
            others.append(pool[i])
    if shots < 0 or len(others) < shots:
        raise TaskError(
            f"task.shots={shots} with {len(pool)} items in {path}; expected 0 to {len(others)}, "
            f"since an item is never its own example"
        )
    examples = "".join(other.prompt + other.target + source.separator for other in others)
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


def _warn_of_joins(items: Sequence[Item], path: Path) -> None:
    """Say where a prompt's last word and an answer would be written as one."""
    joined = [
        (item.prompt, text)
        for item in items
        for text in (item.choices or (item.target,))[:1]
        if item.prompt and text and text[0].isalnum() and (item.prompt[-1].isalnum()
                                                          or item.prompt[-1] in ":;,.?!")
    ]  # fmt: skip
    if joined:
        prompt, text = joined[0]
        _log.warning(
            "%d of %d items of %s join prompt and answer without a space, for example %r; end the "
            "prompt with a space, or begin answers with one",
            len(joined), len(items), path, prompt[-15:] + text[:15],
        )  # fmt: skip
