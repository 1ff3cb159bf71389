from dataclasses import dataclass, field
from typing import Any

import pytest

from train.config.decode import decode
from train.config.keys import UsageError, check_key, nearest


@dataclass(frozen=True)
class Part:
    weight: float = 1.0
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    size: int
    part: Part = field(default_factory=Part)
    parts: dict[str, Part] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    label: str | None = None
    on: bool = False
    maybe: Part | None = None


def test_plain_values_become_the_declared_types():
    content = {
        "size": 2e3, "part": {"weight": 3, "names": [1, "b"]}, "parts": {"a": {"weight": "0.5"}},
        "extra": {"x": [1, {"y": None}]}, "label": 7, "on": "yes", "maybe": {"names": []},
    }  # fmt: skip
    made = decode(Whole, content)
    assert made == Whole(2000, Part(3.0, ["1", "b"]), {"a": Part(0.5)}, content["extra"], "7", True,
                         Part())  # fmt: skip
    assert isinstance(made.size, int) and isinstance(made.part.weight, float)
    assert decode(Whole, {"size": 1, "maybe": None, "label": None}) == Whole(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "size is not set; expected whole number"),
        ({"size": 1.5}, "size: got 1.5; expected whole number"),
        ({"size": True}, "size: got True; expected whole number"),
        ({"size": None}, "size: got null; expected whole number"),
        ({"size": [1]}, r"size: got \[1\]; expected whole number"),
        ({"size": 1, "on": None}, "on: got null; expected true or false"),
        ({"size": 1, "on": 2}, "on: got 2; expected true or false"),
        ({"size": 1, "label": ["a"]}, "label: got .*; expected text or null"),
        ({"size": 1, "part": 3}, "part: got 3; expected group"),
        ({"size": 1, "part": {"names": "a"}}, "part.names: got 'a'; expected list of texts"),
        ({"size": 1, "part": {"names": [{}]}}, r"part.names.0: got {}; expected text"),
        ({"size": 1, "parts": {"a": {"wieght": 1}}}, "'parts.a.wieght' is unknown; did you mean"),
        ({"size": float("inf")}, "size: got inf; expected whole number"),
    ],
)
def test_anything_else_is_refused_under_its_dotted_key(content, message):
    with pytest.raises(UsageError, match=message):
        decode(Whole, content)


def test_keys_lead_through_groups_lists_and_open_groups():
    for key in ("size", "part.weight", "parts.any.weight", "extra.a.b.c", "maybe.names.0"):
        check_key(Whole, key)
    for key in ("sise", "part.size", "parts.a.b", "size.x", "part.names.first", "part.weight.0"):
        with pytest.raises(UsageError):
            check_key(Whole, key)


def test_the_nearest_keys_are_those_with_a_like_last_part():
    assert nearest("weigth", ["size", "part.weight", "label"]) == ["part.weight"]
    assert nearest("zzz", ["size", "part.weight"]) == []
