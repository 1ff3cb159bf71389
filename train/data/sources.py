"""Where text comes from: each kind of source yields documents of a training and a validation split.

A source is a small frozen object made from the options of its `SourceSpec`; to add one, write it
here (or in a module of its own) and name it in `KINDS`.
"""

import dataclasses
import os
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from train.config.spec import SourceSpec, SpecError
from train.data.columns import rows_alone
from train.data.document import Document, Source
from train.data.grammar import GRAMMAR_VERSION, Grammar, window_entropy
from train.data.hub import HubOptions, fetch
from train.data.packages import PackageOptions, package_files
from train.data.text_files import FileSource
from train.data.token_files import TokenSource

T = TypeVar("T")


@dataclass(frozen=True)
class TextOptions:
    """files: paths or globs; field: the text's key in JSONL, parquet and arrow rows."""

    files: list[str]
    field: str = "text"


@dataclass(frozen=True)
class TokenOptions:
    """files: paths or globs of token ids; val_files: of validation, else held out of `files`.

    dtype: of files that do not say (default uint16); field: the column of rows.
    """

    files: list[str]
    val_files: list[str] = dataclasses.field(default_factory=list)
    dtype: str | None = None
    field: str = "input_ids"


def _stdlib(options: dict[str, Any], val_tokens: float) -> Source:
    _read_options("stdlib", _NoOptions, options)
    return FileSource("stdlib", _stdlib_files(), "text", val_tokens, plain=True)


@lru_cache(maxsize=1)
def _stdlib_files() -> tuple[Path, ...]:
    """Every module of this Python's library; listed once a process, as an installation stays."""
    found = []
    for folder, folders, files in os.walk(sysconfig.get_paths()["stdlib"]):
        folders[:] = [name for name in folders if name != "site-packages"]
        found += [Path(folder, name) for name in files if name.endswith(".py")]
    return tuple(sorted(found))


def _text(options: dict[str, Any], val_tokens: float) -> Source:
    chosen = _read_options("text", TextOptions, options)
    paths = matching_paths("text", chosen.files)
    return FileSource("text", tuple(paths), chosen.field, val_tokens)


def matching_paths(kind: str, files: list[str] | str) -> list[Path]:
    """The files that names and globs stand for, each once; a saved dataset is its directory.

    Raises:  SpecError: a name or a glob that nothing matches.
    """
    paths: list[Path] = []
    for pattern in [files] if isinstance(files, str) else files:
        path = Path(pattern).expanduser()
        base = Path(path.anchor) if path.is_absolute() else Path()
        relative = str(path.relative_to(path.anchor)) if path.is_absolute() else pattern
        found = [] if path.exists() else sorted(p for p in base.glob(relative) if p.is_file())
        globbed = rows_alone(found)
        matches = globbed or [path]
        if not (globbed or path.exists()):
            raise SpecError(
                f"data source {kind!r}: no file matches {pattern!r}; check options.files"
            )
        paths.extend(matches)
    return list(dict.fromkeys(paths))


def _tokens(options: dict[str, Any], val_tokens: float) -> Source:
    chosen = _read_options("tokens", TokenOptions, options)
    return TokenSource(
        tuple(matching_paths("tokens", chosen.files)),
        tuple(matching_paths("tokens", chosen.val_files)),
        val_tokens,
        chosen.dtype,
        chosen.field,
    )


def _hub(options: dict[str, Any], val_tokens: float) -> Source:
    chosen = _read_options("hub", HubOptions, options)
    return FileSource(chosen.name, tuple(fetch(chosen)), "text", val_tokens)


def _packages(options: dict[str, Any], val_tokens: float) -> Source:
    chosen = _read_options("packages", PackageOptions, options)
    return FileSource("packages", tuple(package_files(chosen)), "text", val_tokens, plain=True)


@dataclass(frozen=True)
class _NoOptions:
    """A source without options."""


@dataclass(frozen=True)
class ArithmeticSource:
    """Generated problems; validation takes held-out ones, which training never holds."""

    task: Any
    n_items: int
    n_val_items: int
    seed: int
    rows: bool = True

    @property
    def identity(self) -> dict[str, Any]:
        from eval.tasks.generated import TASK_VERSION

        return {"version": TASK_VERSION, **dataclasses.asdict(self)}

    def entropy(self, seq_len: int) -> float | None:
        return None

    def documents(self, split: str, length: int | None = None) -> Iterator[Document]:
        from eval.tasks.generated import heldout_items, training_items

        items = (
            training_items(self.task, self.n_items, self.seed)
            if split == "train"
            else heldout_items(self.task, self.n_val_items, self.seed)
        )
        for item in items:
            yield Document(f"{item.prompt}{item.target}\n", loss_from=len(item.prompt))


def _arithmetic(options: dict[str, Any], val_tokens: float) -> Source:
    from eval.tasks.generated import TaskSpec

    own, rest = _own_options(options, {"n_items": 400_000, "seed": 0})
    task = _read_options("arithmetic", TaskSpec, rest, tuple(own))
    n_val_items = min(4096, max(1, int(val_tokens)))
    return ArithmeticSource(task, int(own["n_items"]), n_val_items, int(own["seed"]))


@dataclass(frozen=True)
class CodebookSource:
    """Strings of known keys with their digits; validation takes strings that training lacks."""

    task: Any
    n_items: int
    n_val_items: int
    seed: int
    rows: bool = True

    @property
    def identity(self) -> dict[str, Any]:
        from eval.tasks.codebook import CODEBOOK_VERSION

        return {"version": CODEBOOK_VERSION, "kind": "codebook", **dataclasses.asdict(self)}

    def entropy(self, seq_len: int) -> float | None:
        return None

    def documents(self, split: str, length: int | None = None) -> Iterator[Document]:
        from eval.tasks.codebook import heldout_strings, training_strings

        draw, n = (
            (training_strings, self.n_items)
            if split == "train"
            else (heldout_strings, self.n_val_items)
        )
        for item in draw(self.task, n, self.seed):
            yield Document(f"{item.prompt}{item.target}\n", loss_from=len(item.prompt))


def _codebook(options: dict[str, Any], val_tokens: float) -> Source:
    from eval.tasks.codebook import CodebookSpec

    own, rest = _own_options(options, {"n_items": 200_000, "seed": 0})
    task = _read_options("codebook", CodebookSpec, rest, tuple(own))
    n_val_items = min(4096, max(1, int(val_tokens)))
    return CodebookSource(task, int(own["n_items"]), n_val_items, int(own["seed"]))


@dataclass(frozen=True)
class GrammarSource:
    """Texts of a synthetic language, as many as asked for, none repeated; see
    `train.data.grammar`.
    """

    grammar: Grammar
    n_tokens: int
    n_val_tokens: int
    seed: int
    rows: bool = True

    @property
    def identity(self) -> dict[str, Any]:
        return {"version": GRAMMAR_VERSION, **dataclasses.asdict(self)}

    def entropy(self, seq_len: int) -> float | None:
        return window_entropy(self.grammar, seq_len)

    def documents(self, split: str, length: int | None = None) -> Iterator[Document]:
        assert length is not None  # rows have a length
        rng = np.random.default_rng([self.seed, split == "val"])
        wanted = self.n_tokens if split == "train" else self.n_val_tokens
        remaining = -(-wanted // length)
        while remaining > 0:
            for text in self.grammar.sample(min(remaining, 4096), length, rng):
                yield Document(text)
            remaining -= 4096


def _grammar(options: dict[str, Any], val_tokens: float) -> Source:
    own, rest = _own_options(options, {"n_tokens": 8e6, "seed": 0})
    language = _read_options("grammar", Grammar, rest, tuple(own))
    return GrammarSource(language, int(own["n_tokens"]), int(val_tokens), int(own["seed"]))


KINDS: dict[str, Callable[[dict[str, Any], float], Source]] = {
    "stdlib": _stdlib,
    "text": _text,
    "hub": _hub,
    "tokens": _tokens,
    "packages": _packages,
    "arithmetic": _arithmetic,
    "codebook": _codebook,
    "grammar": _grammar,
}


def make_source(spec: SourceSpec, val_tokens: float, val_rule: str = "characters") -> Source:
    """The source that a spec describes.

    Raises:  SpecError: unknown kind or option, or no file found.
    """
    if spec.kind not in KINDS:
        raise SpecError(f"data source {spec.kind!r} is unknown; expected one of {', '.join(KINDS)}")
    source = KINDS[spec.kind](spec.options, val_tokens)
    return dataclasses.replace(source, rule=val_rule) if isinstance(source, FileSource) else source


def _own_options(
    options: dict[str, Any], defaults: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that a source reads itself, with their defaults, and all the others."""
    own = {name: options.get(name, value) for name, value in defaults.items()}
    return own, {name: value for name, value in options.items() if name not in own}


def _read_options(
    kind: str, cls: type[T], options: dict[str, Any], more: tuple[str, ...] = ()
) -> T:
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    unknown = sorted(set(options) - set(names))
    if unknown:
        expected = ", ".join([*names, *more]) or "none"
        raise SpecError(f"data source {kind!r} has no option {unknown[0]!r}; it has: {expected}")
    try:
        return cls(**options)
    except TypeError as error:
        raise SpecError(f"data source {kind!r}: {error}; set it under options") from error
