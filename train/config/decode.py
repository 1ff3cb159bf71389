"""Plain values into frozen dataclasses, each checked against its type under its dotted key."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from train.config.keys import UsageError, plain, type_name, unknown_key

T = TypeVar("T")

_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""Words for true and false, which quoting or another tool may have turned into texts."""


def decode(cls: type[T], content: Mapping[str, Any]) -> T:
    """An instance of a dataclass, nested ones included, from mappings, lists and plain values.

    Whole floats pass for integers and integers for floats; numbers may come as texts.

    Raises:
        UsageError: an unknown key, or a value of another type, under its dotted key.
        IsoflopError: the dataclasses' own checks.
    """
    return _dataclass(cls, content, "", cls)


def _dataclass(cls: type[T], content: Mapping[str, Any], where: str, root: type) -> T:
    hints = get_type_hints(cls)
    values = {}
    for key, value in content.items():
        path = f"{where}{key}"
        if key not in hints:
            raise unknown_key(root, path)
        values[key] = _value(hints[key], value, path, root)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise UsageError(
                f"{where}{field.name} is not set; expected {type_name(hints[field.name])}"
            )
    return cls(**values)


def _value(hint: Any, value: Any, path: str, root: type) -> Any:
    inner, optional = plain(hint)
    if inner is Any or (value is None and optional):
        return value
    origin, arguments = get_origin(inner), get_args(inner)
    if isinstance(value, Mapping) and isinstance(inner, type) and dataclasses.is_dataclass(inner):
        return _dataclass(inner, value, f"{path}.", root)
    if origin is dict and isinstance(value, Mapping):
        items = value.items()
        return {str(k): _value(arguments[1], v, f"{path}.{k}", root) for k, v in items}
    if origin is list and isinstance(value, list | tuple):
        return [_value(arguments[0], v, f"{path}.{i}", root) for i, v in enumerate(value)]
    try:
        return _SCALARS[inner](value)
    except (KeyError, TypeError, ValueError):
        shown = "null" if value is None else repr(value)
        raise UsageError(f"{path}: got {shown}; expected {type_name(hint)}") from None


def _whole(value: Any) -> int:
    number = _number(value)
    if not number.is_integer():
        raise ValueError
    return value if isinstance(value, int) else int(number)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise TypeError
    return str(value).lower() if isinstance(value, bool) else str(value)


def _truth(value: Any) -> bool:
    return value if isinstance(value, bool) else _TRUTH[str(value).lower()]


_SCALARS = {int: _whole, float: _number, str: _text, bool: _truth}
