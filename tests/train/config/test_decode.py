"""Mappings to dataclasses: settings, partial specs over complete ones, and stored jobs."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.sweep_fixtures import base
from train.config.decode import decode, merge
from train.config.keys import UsageError, check_key, nearest
from train.config.run_config import RunConfig, job_from_json
from train.config.spec import SpecError, TokenizerSpec


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


def test_nested_keys_change_alone():
    changed = merge(base(), {"model": {"d_model": 48}, "precision": "bf16"})
    assert (changed.model.d_model, changed.model.seq_len) == (48, 64)
    assert changed.precision == "bf16"
    assert changed.optim == base().optim


def test_data_parts_are_replaced_with_their_tokenizer_rather_than_merge():
    start = merge(base(), {"data": {"tokenizer": {"kind": "characters", "alphabet": "01"}}})
    assert start.data.tokenizer.alphabet == "01"
    changed = merge(start, {"data": {"parts": {"sums": {"kind": "arithmetic", "weight": 2}}}})
    assert list(changed.data.parts) == ["sums"]
    assert changed.data.parts["sums"].weight == 2.0
    assert changed.data.tokenizer == TokenizerSpec()
    assert changed.data.val_tokens == start.data.val_tokens


def test_whole_floats_become_ints_and_none_stays_allowed():
    changed = merge(base(), {"model": {"d_model": 64.0, "n_layers": None}, "optim": {"eps": 1}})
    assert changed.model.d_model == 64
    assert isinstance(changed.model.d_model, int)
    assert isinstance(changed.optim.eps, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modell": {}}, r"base.modell is unknown; expected one of .*model"),
        ({"model": {"width": 3}}, r"base.model.width is unknown"),
        ({"model": 3}, r"base.model: got 3; expected group"),
        ({"model": {"d_model": 1.5}}, r"base.model.d_model: got 1.5; expected whole number"),
        ({"model": {"tied": 1}}, r"base.model.tied: got 1; expected true or false"),
        ({"model": {"d_model": True}}, r"base.model.d_model: got True; expected whole number"),
        (
            {"optim": {"lr_peak": "fast"}},
            r"lr_peak: got 'fast'; expected number or null",
        ),
        ({"data": {"parts": {"a": {"sort": 1}}}}, r"base.data.parts.a.sort is unknown"),
    ],
)
def test_a_mistake_is_named_by_its_path(changes, message):
    with pytest.raises(SpecError, match=message):
        merge(base(), changes)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("spec", "model", "d_model"),
            "64",
            r"spec.model.d_model: got '64'; expected whole number",
        ),
        (("spec", "optim", "speed"), 1, r"job.spec.optim.speed is unknown; expected one of rule"),
        (
            ("spec", "data", "parts", "text", "weight"),
            None,
            r"parts.text.weight: got null; expected numb",
        ),
        (("spec", "horizon"), [], r"job.spec.horizon: got \[\]; expected group"),
        (
            ("runtime", "keep_checkpoints"),
            0.5,
            r"keep_checkpoints: got 0.5; expected list of",
        ),
    ],
)
def test_a_stored_job_is_checked_to_its_last_key(path, value, message):
    content = {"schema": 1, "run_id": "x", **dataclasses.asdict(RunConfig(spec=base()))}
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(SpecError, match=f"spec can't be read: .*{message}"):
        job_from_json(content)


def test_a_job_without_its_spec_says_what_is_missing():
    with pytest.raises(SpecError, match=r"job.spec is not set; expected group"):
        job_from_json({"schema": 1, "run_id": "x", "name": "n"})
