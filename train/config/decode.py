"""Mappings to frozen dataclasses, each value checked against its type under its dotted key.

One decoder for all that people or an earlier process wrote: `decode` for settings composed from
command line and YAML, `decode_stored` for JSON files of our own, `merge` for a partial spec over a
complete one.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from train.config.keys import UsageError, default_of, plain, type_name, unknown_key
from train.config.spec import IsoflopError, SourceSpec, SpecError, TokenizerSpec

T = TypeVar("T")

WHOLE = (SourceSpec, TokenizerSpec)
"""Classes that a partial spec replaces whole: another one is an alternative, not a refinement."""

_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""Words for true and false, which quoting or another tool may have turned into texts."""


def decode(cls: type[T], content: Mapping[str, Any]) -> T:
    """An instance of a dataclass of settings, nested ones included.

    Whole floats pass for integers and integers for floats; numbers may come as texts.

    Raises:
        UsageError: an unknown key, or a value of another type, under its dotted key.
        IsoflopError: the dataclasses' own checks.
    """
    return _Decoder(root=cls).instance(cls, content, "")


def decode_stored(cls: type[T], content: Any, where: str, other_keys: bool = False) -> T:
    """An instance of a dataclass from a JSON file of our own, whose values have their types.

    Args:
        cls: The dataclass; what has a default may be left out.
        content: The parsed JSON.
        where: What the content is called in errors.
        other_keys: Whether keys that the dataclass has not are passed over rather than refused.

    Raises:
        SpecError: an unknown key, a value of another type or a missing one, with its full path.
    """
    return _Decoder(other_keys=other_keys).instance(cls, content, where)


def merge(spec: T, changes: Any, where: str = "base") -> T:
    """The dataclass `spec` with `changes` laid over it, nested dataclasses field by field.

    Sources (`data.parts`) are replaced whole, and the tokenizer with them.

    Raises:
        SpecError: an unknown key or a value of another type, with its full path.
    """
    values = _Decoder().values(type(spec), changes, where, present=spec)
    if "parts" in values:
        values = {"tokenizer": TokenizerSpec(), **values}
    return dataclasses.replace(spec, **values)  # type: ignore[type-var]


class _Hint(NamedTuple):
    """A type hint taken apart once: thousands of specs are read with the same ones."""

    inner: Any
    optional: bool
    origin: Any
    element: Any
    nested: bool


@functools.cache
def _hint(hint: Any) -> _Hint:
    inner, optional = plain(hint)
    arguments = [one for one in get_args(inner) if one is not ...]
    nested = isinstance(inner, type) and dataclasses.is_dataclass(inner)
    return _Hint(inner, optional, get_origin(inner), arguments[-1] if arguments else None, nested)


@functools.cache
def _fields(cls: type) -> tuple[dict[str, Any], list[str]]:
    """The hints of a dataclass by field, and the fields that have no default."""
    unset = dataclasses.MISSING
    required = [f.name for f in dataclasses.fields(cls) if default_of(f) is unset]
    return get_type_hints(cls), required


@dataclasses.dataclass(frozen=True)
class _Decoder:
    """`root` is the dataclass of settings whose keys are proposed; None for stored content."""

    root: type | None = None
    other_keys: bool = False

    def instance(self, cls: type[T], content: Any, where: str) -> T:
        values = self.values(cls, content, where)
        hints, required = _fields(cls)
        for name in required:
            if name not in values:
                raise self._error(f"{_key(where, name)} is not set", hints[name])
        return cls(**values)

    def values(self, cls: type, content: Any, where: str, present: Any = None) -> dict[str, Any]:
        """Checked values of the keys that are given; `present` is what they are laid over."""
        if not isinstance(content, Mapping):
            raise self._error(f"{where or 'content'}: got {content!r:.60}", cls)
        hints, found = _fields(cls)[0], {}
        for key, value in content.items():
            path = _key(where, key)
            if key not in hints and self.other_keys:
                continue
            if key not in hints:
                raise self._unknown(path, hints)
            found[key] = self._value(hints[key], value, path, getattr(present, key, None))
        return found

    def _value(self, hint: Any, value: Any, path: str, present: Any = None) -> Any:
        inner, optional, origin, element, nested = _hint(hint)
        if inner is Any or (value is None and optional) or (type(value) is inner in _SCALARS):
            return value
        if origin is Union:
            return self._either(get_args(inner), value, path, hint)
        if nested and isinstance(value, Mapping):
            if present is None or inner in WHOLE:
                return self.instance(inner, value, path)
            return merge(present, value, path)
        if origin is dict and isinstance(value, Mapping):
            return {str(k): self._value(element, v, _key(path, k)) for k, v in value.items()}
        if origin in (list, tuple) and isinstance(value, list | tuple):
            found = [self._value(element, v, _key(path, i)) for i, v in enumerate(value)]
            return origin(found)
        try:
            return _SCALARS[inner](value, self.root is not None)
        except (KeyError, TypeError, ValueError, OverflowError):
            shown = "null" if value is None else f"{value!r:.60}"
            raise self._error(f"{path}: got {shown}", hint) from None

    def _either(self, choices: tuple[Any, ...], value: Any, path: str, hint: Any) -> Any:
        """A value of a list where it is one, and of the other types where it is none."""
        listed = isinstance(value, list | tuple)
        for choice in choices:
            if (get_origin(choice) is list) == listed:
                return self._value(choice, value, path)
        raise self._error(f"{path}: got {value!r:.60}", hint)

    def _error(self, what: str, hint: Any) -> IsoflopError:
        kind = UsageError if self.root else SpecError
        return kind(f"{what}; expected {type_name(hint)}")

    def _unknown(self, path: str, hints: dict[str, Any]) -> IsoflopError:
        if self.root:
            return unknown_key(self.root, path)
        return SpecError(f"{path} is unknown; expected one of {', '.join(hints)}")


def _key(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _whole(value: Any, texts: bool) -> int:
    number = _number(value, texts)
    if not number.is_integer():
        raise ValueError
    return value if isinstance(value, int) else int(number)


def _number(value: Any, texts: bool) -> float:
    if isinstance(value, bool) or not (texts or isinstance(value, int | float)):
        raise TypeError
    return float(value)


def _text(value: Any, texts: bool) -> str:
    if not isinstance(value, str | int | float if texts else str):
        raise TypeError
    return str(value).lower() if isinstance(value, bool) else str(value)


def _truth(value: Any, texts: bool) -> bool:
    if isinstance(value, bool):
        return value
    if not texts:
        raise TypeError
    return _TRUTH[str(value).lower()]


_SCALARS = {int: _whole, float: _number, str: _text, bool: _truth}
