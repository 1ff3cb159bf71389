"""Every key that a configuration's dataclass has, and the nearest ones to a key that it has not."""

import dataclasses
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from rapidfuzz import fuzz

from train.config.spec import IsoflopError

NAME = "NAME"
"""Stands for any name in the key of an open group, such as data.parts.NAME.weight."""

NEAR = 60.0
"""Least similarity, of 100, of a key that is proposed in place of an unknown one."""


class UsageError(IsoflopError):
    """A command line that does not compose into a valid configuration."""


@dataclass(frozen=True)
class Key:
    """A dotted key, the type that its value has, and its dataclass' default (MISSING: none)."""

    name: str
    hint: Any
    default: Any = dataclasses.MISSING


def keys(cls: type, where: str = "") -> Iterator[Key]:
    """All keys of a dataclass in order, nested dataclasses key by key."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name = f"{where}{field.name}"
        nested = nested_class(hints[field.name])
        if nested is not None:
            part = f".{NAME}." if get_origin(plain(hints[field.name])[0]) is dict else "."
            yield from keys(nested, f"{name}{part}")
        else:
            yield Key(name, hints[field.name], default_of(field))


def plain(hint: Any) -> tuple[Any, bool]:
    """A type hint without None, and whether None was part of it."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [choice for choice in get_args(hint) if choice is not type(None)]
        optional = len(rest) < len(get_args(hint))
        return (rest[0] if len(rest) == 1 else Union[tuple(rest)]), optional  # noqa: UP007
    return hint, hint is Any


def nested_class(hint: Any) -> type | None:
    """The dataclass of a hint `Dataclass`, `Dataclass | None` or `dict[str, Dataclass]`."""
    inner = plain(hint)[0]
    inner = get_args(inner)[1] if get_origin(inner) is dict else inner
    return inner if isinstance(inner, type) and dataclasses.is_dataclass(inner) else None


def check_key(cls: type, key: str) -> None:
    """Check that a dotted key leads to a value of the dataclass.

    Raises:  UsageError: no such key, with the nearest ones there are.
    """
    hint: Any = cls
    parts = key.split(".")
    for number, part in enumerate(parts):
        inner = plain(hint)[0]
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            hints = get_type_hints(inner)
            if part not in hints:
                raise unknown_key(cls, key)
            hint = hints[part]
        elif get_origin(inner) is dict:
            hint = get_args(inner)[1]
        elif inner is Any or inner is dict or (get_origin(inner) is list and part.isdigit()):
            hint = get_args(inner)[0] if get_origin(inner) is list else Any
        else:
            above = ".".join(parts[:number])
            raise UsageError(f"{key}: {above} is {type_name(hint)}, which has no keys of its own")


def has_key(cls: type, key: str) -> bool:
    """Whether a dotted key is a key of the dataclass."""
    return any(one.name == key for one in keys(cls))


def unknown_key(cls: type, key: str) -> UsageError:
    """The error of a key that does not exist: what may have been meant, and where the list is."""
    near = nearest(key, [one.name for one in keys(cls)])
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return UsageError(
        f"key {key!r} is unknown; {meant}--cfg prints every key with its value, and "
        f"docs/settings.md lists them"
    )


def nearest(key: str, names: list[str], most: int = 3) -> list[str]:
    """Names like a key, by the whole of it or by its last part alone, the likest first."""
    groups = {name.rpartition(".")[0] for name in names} - {""}
    scores = {name: _likeness(key, name) for name in [*names, *sorted(groups)]}
    found = sorted(scores, key=lambda name: -scores[name])[:most]
    best = scores[found[0]] if found else 0.0
    return [name for name in found if scores[name] >= max(NEAR, best - 10)]


def _likeness(key: str, name: str) -> float:
    last = fuzz.ratio(key.rpartition(".")[2], name.rpartition(".")[2])
    # The last part decides, since the groups ahead of it are what is most often left out.
    return 0.3 * fuzz.ratio(key, name) + 0.7 * last


def type_name(hint: Any) -> str:
    """A type in the words of a settings list: number, text, list of numbers, ... or null."""
    inner, optional = plain(hint)
    if inner is Any:
        return "any value"
    origin, arguments = get_origin(inner), get_args(inner)
    if origin in (list, dict):
        name = f"{'list' if origin is list else 'group'} of {_plural(arguments[-1])}"
    elif origin is Union:
        name = " or ".join(type_name(choice) for choice in arguments)
    else:
        name = _NAMES.get(inner, "group")
    return f"{name} or null" if optional else name


_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false"}


def _plural(hint: Any) -> str:
    names = {int: "whole numbers", float: "numbers", str: "texts", Any: "values"}
    return names.get(plain(hint)[0], "groups")


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """The default of a dataclass' field; MISSING without one."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
