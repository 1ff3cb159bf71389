"""Mappings to the frozen dataclasses, complete (spec.json) or partial (over a complete one).

Every key and type is checked; an error names the full path. `train.config.cli` alone decodes in
another way, since Hydra's overrides have to be merged before they are a mapping.
"""

import dataclasses
import functools
import types
import typing
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from train.config.spec import SourceSpec, SpecError, TokenizerSpec

T = TypeVar("T")

WHOLE = (SourceSpec, TokenizerSpec)
"""Classes that a partial spec replaces whole: another one is an alternative, not a refinement."""


def decoded(cls: type[T], content: Any, where: str) -> T:
    """A dataclass from plain values, nested ones included; what has a default may be left out.

    Raises:  SpecError: an unknown key, a value of the wrong type or a missing one, with its path.
    """
    values = _values(cls, None, content, where)
    absent = [name for name in _required(cls) if name not in values]
    if absent:
        raise SpecError(f"{where} lacks {', '.join(absent)}")
    return cls(**values)


def merged(spec: T, changes: Any, where: str = "base") -> T:
    """The dataclass `spec` with `changes` laid over it, nested dataclasses field by field.

    Sources (`data.parts`) are replaced whole, and the tokenizer with them.
    Raises:  SpecError: an unknown key or a value of the wrong type, with its full path.
    """
    values = _values(type(spec), spec, changes, where)
    if "parts" in values:
        values = {"tokenizer": TokenizerSpec(), **values}
    return dataclasses.replace(spec, **values)  # type: ignore[type-var]


def typed(hint: Any, value: Any, path: str) -> Any:
    """`value` as the annotated type, whole floats taken for ints and ints for floats.

    Elements of a list are checked one by one.

    Raises:  SpecError: a value of another type.
    """
    choices = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in choices:
        return None
    for choice in choices:
        origin = get_origin(choice) or choice
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        if origin is float and number is not None:
            return float(number)
        if origin is int and number is not None and float(number).is_integer():
            return int(number)
        if origin is list and isinstance(value, list) and get_args(choice):
            element = get_args(choice)[0]
            return [typed(element, item, f"{path}[{i}]") for i, item in enumerate(value)]
        if origin not in (int, float) and (origin is typing.Any or isinstance(value, origin)):
            return value
    names = " or ".join(getattr(choice, "__name__", str(choice)) for choice in choices)
    raise SpecError(f"{path}={value!r} has type {type(value).__name__}; expected {names}")


_hints = functools.cache(get_type_hints)  # asked once a class: thousands of specs are read


@functools.cache
def _required(cls: type) -> list[str]:
    unset = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    return [f.name for f in fields if f.default is unset and f.default_factory is unset]


def _values(cls: type, present: Any, content: Any, where: str) -> dict[str, Any]:
    """Checked values of the keys that a mapping gives; `present` is what they are laid over."""
    hints, found = _hints(cls), {}
    for key, value in _mapping(content, where).items():
        path = f"{where}.{key}"
        if key not in hints:
            raise SpecError(f"{path} is unknown; expected one of {', '.join(hints)}")
        found[key] = _value(hints[key], getattr(present, key, None), value, path)
    return found


def _value(hint: Any, present: Any, value: Any, path: str) -> Any:
    element = get_args(hint)[1] if get_origin(hint) is dict else None
    if isinstance(element, type) and dataclasses.is_dataclass(element):
        parts = _mapping(value, path)
        return {name: decoded(element, part, f"{path}.{name}") for name, part in parts.items()}
    if not (isinstance(hint, type) and dataclasses.is_dataclass(hint)):
        return typed(hint, value, path)
    if present is None or hint in WHOLE:
        return decoded(hint, value, path)
    return merged(present, value, path)


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SpecError(f"{path}={value!r:.60} must be a group of keys")
    return value
