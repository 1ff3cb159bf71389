"""Partial specs, given as nested dictionaries, laid over complete ones with every key checked."""

import dataclasses
import types
import typing
from typing import Any, TypeVar, get_type_hints

from train.config.spec import SourceSpec, SpecError, TokenizerSpec

T = TypeVar("T")


def merged(spec: T, changes: dict[str, Any], where: str = "base") -> T:
    """The dataclass `spec` with `changes` laid over it, nested dataclasses field by field.

    Sources (`data.parts`) are replaced whole, and the tokenizer with them, since another source is
    an alternative rather than a refinement.
    Raises:  SpecError: an unknown key or a value of the wrong type, with its full path.
    """
    hints = get_type_hints(type(spec))
    values: dict[str, Any] = {"tokenizer": TokenizerSpec()} if "parts" in changes else {}
    for key, value in changes.items():
        path = f"{where}.{key}"
        if key not in hints:
            raise SpecError(f"{path} is unknown; expected one of {', '.join(hints)}")
        values[key] = _value(hints[key], getattr(spec, key), key, value, path)
    return dataclasses.replace(spec, **values)  # type: ignore[type-var]


def _value(hint: Any, present: Any, key: str, value: Any, path: str) -> Any:
    if key == "parts":
        parts = _mapping(value, path)
        return {
            name: merged(SourceSpec(), _mapping(part, f"{path}.{name}"), f"{path}.{name}")
            for name, part in parts.items()
        }
    if key == "tokenizer":
        return merged(TokenizerSpec(), _mapping(value, path), path)
    if dataclasses.is_dataclass(present):
        return merged(present, _mapping(value, path), path)
    return typed(hint, value, path)


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SpecError(f"{path}={value!r} must be a group of keys")
    return value


def typed(hint: Any, value: Any, path: str) -> Any:
    """`value` as the annotated scalar type, whole floats taken for ints and ints for floats.

    Raises:  SpecError: a value of another type.
    """
    choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in choices:
        return None
    for choice in choices:
        origin = typing.get_origin(choice) or choice
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        if origin is float and number is not None:
            return float(number)
        if origin is int and number is not None and float(number).is_integer():
            return int(number)
        if origin not in (int, float) and (origin is Any or isinstance(value, origin)):
            return value
    names = " or ".join(getattr(choice, "__name__", str(choice)) for choice in choices)
    raise SpecError(f"{path}={value!r} has type {type(value).__name__}; expected {names}")
