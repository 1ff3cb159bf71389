"""The canonical text from which identities are hashed."""

import dataclasses
import functools
import json
from typing import Any, TypeVar

from train.config.errors import SpecError

T = TypeVar("T")


def added(default: T, hash: bool | None = None) -> T:
    """A field that specs did not always have: at its default it is no part of their identity.

    Args:    hash: False for a value that has none, such as a dictionary.
    """
    return dataclasses.field(default=default, hash=hash, metadata={"added": True})


def described(default: T) -> T:
    """A field that tells people where something is or how large, and is never part of identity."""
    return dataclasses.field(default=default, metadata={"described": True})


def canonical_json(content: Any) -> str:
    """JSON with sorted keys, no spaces and whole floats as integers: equal specs, equal text.
    Raises:  SpecError: a number that is not finite.
    """
    plain = _canonical(content)
    try:
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise SpecError(f"every number of a spec has to be finite: {error}") from error


def _canonical(content: Any) -> Any:
    if dataclasses.is_dataclass(content):
        later, told = _added_fields(type(content)), _described_fields(type(content))
        # `asdict` copies, which would take most of a large plan's time.
        content = vars(content)
        if later or told:
            content = {
                k: v
                for k, v in content.items()
                if k not in told and (k not in later or v != later[k])
            }
    if isinstance(content, dict):
        return {str(key): _canonical(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_canonical(value) for value in content]
    whole = isinstance(content, float) and content.is_integer() and abs(content) < 2**53
    return int(content) if whole else content


@functools.cache
def _added_fields(cls: Any) -> dict[str, Any]:
    """The default of each field of a dataclass that came after the first release."""
    return {f.name: f.default for f in dataclasses.fields(cls) if f.metadata.get("added")}


@functools.cache
def _described_fields(cls: Any) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(cls) if f.metadata.get("described"))
