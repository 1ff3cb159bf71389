"""Every setting of a configuration with its value, type and default: --cfg and docs/settings.md."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints

from train.config.cli import composed_values
from train.config.keys import NAME, default_of, nested_class, plain, type_name


@dataclass(frozen=True)
class Setting:
    """A key with its value and default as YAML would write them, and its type in words."""

    key: str
    value: str
    type: str
    default: str


def settings(config_name: str, cls: type, overrides: list[str]) -> list[Setting]:
    """Every key of a configuration in order, those of no YAML file included.

    Args:
        config_name: The file conf/NAME.yaml; `cls` the dataclass that it is composed into.
        overrides: What the values, not the defaults, take account of.

    Raises:
        UsageError: overrides that do not compose.
    """
    values = composed_values(config_name, overrides, cls)
    defaults = composed_values(config_name, [], cls) if overrides else values
    return list(_settings(cls, values, defaults, ""))


def settings_text(config_name: str, cls: type, overrides: list[str]) -> str:
    """The settings as YAML of dotted keys, each with its type and default in a comment."""
    rows = settings(config_name, cls, overrides)
    lines = [(f"{row.key}: {row.value}", f"# {row.type}, default {row.default}") for row in rows]
    width = min(48, max(len(left) for left, _ in lines))
    return "".join(f"{left:{width}} {right}\n" for left, right in lines)


def _settings(cls: type, values: Any, defaults: Any, where: str) -> Iterator[Setting]:
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint, key = hints[field.name], f"{where}{field.name}"
        value, default = _part(values, field.name), _part(defaults, field.name)
        nested = nested_class(hint)
        if nested is not None and get_origin(plain(hint)[0]) is dict:
            for name in value or [NAME]:
                parts = _part(value, name), _part(default, name)
                yield from _settings(nested, *parts, f"{key}.{name}.")
        elif nested is not None:
            yield from _settings(nested, value, default, f"{key}.")
        else:
            own = default_of(field)
            shown = [own if given is None else given for given in (value, default)]
            yield Setting(key, _shown(shown[0]), type_name(hint), _shown(shown[1]))


def _part(values: Any, name: str) -> Any:
    return values.get(name) if isinstance(values, Mapping) else None


def _shown(value: Any) -> str:
    """A value on one line of YAML, large numbers as people write them."""
    if value is dataclasses.MISSING:
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, float) and (abs(value) >= 1e6 or 0 < abs(value) < 1e-3):
        return f"{value:g}"
    plain_text = isinstance(value, str) and value.isidentifier()
    return str(value) if plain_text else json.dumps(value)
