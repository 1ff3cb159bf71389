"""Mappings to dataclasses: partial specs over complete ones, and whole jobs."""

import dataclasses

import pytest

from tests.support.sweep_fixtures import base
from train.config.run_config import RunConfig, job_from_json
from train.config.spec import SpecError, TokenizerSpec
from train.config.stored_spec import merged


def test_nested_keys_change_alone():
    changed = merged(base(), {"model": {"d_model": 48}, "precision": "bf16"})
    assert (changed.model.d_model, changed.model.seq_len) == (48, 64)
    assert changed.precision == "bf16"
    assert changed.optim == base().optim


def test_data_parts_are_replaced_with_their_tokenizer_rather_than_merged():
    start = merged(base(), {"data": {"tokenizer": {"kind": "characters", "alphabet": "01"}}})
    assert start.data.tokenizer.alphabet == "01"
    changed = merged(start, {"data": {"parts": {"sums": {"kind": "arithmetic", "weight": 2}}}})
    assert list(changed.data.parts) == ["sums"]
    assert changed.data.parts["sums"].weight == 2.0
    assert changed.data.tokenizer == TokenizerSpec()
    assert changed.data.val_tokens == start.data.val_tokens


def test_whole_floats_become_ints_and_none_stays_allowed():
    changed = merged(base(), {"model": {"d_model": 64.0, "n_layers": None}, "optim": {"eps": 1}})
    assert changed.model.d_model == 64
    assert isinstance(changed.model.d_model, int)
    assert isinstance(changed.optim.eps, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modell": {}}, r"base.modell is unknown; expected one of .*model"),
        ({"model": {"width": 3}}, r"base.model.width is unknown"),
        ({"model": 3}, r"base.model=3 must be a group of keys"),
        ({"model": {"d_model": 1.5}}, r"base.model.d_model=1.5 has type float; expected int"),
        ({"model": {"tied": 1}}, r"base.model.tied=1 has type int; expected bool"),
        ({"model": {"d_model": True}}, r"base.model.d_model=True has type bool"),
        ({"optim": {"lr_peak": "fast"}}, r"base.optim.lr_peak='fast' has type str"),
        ({"data": {"parts": {"a": {"sort": 1}}}}, r"base.data.parts.a.sort is unknown"),
    ],
)
def test_a_mistake_is_named_by_its_path(changes, message):
    with pytest.raises(SpecError, match=message):
        merged(base(), changes)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("spec", "model", "d_model"),
            "64",
            r"spec.model.d_model='64' has type str",
        ),
        (("spec", "optim", "speed"), 1, r"job.spec.optim.speed is unknown; expected one of rule"),
        (("spec", "data", "parts", "text", "weight"), None, r"parts.text.weight=None has type"),
        (("spec", "horizon"), [], r"job.spec.horizon=\[\] must be a group of keys"),
        (("runtime", "keep_checkpoints"), 0.5, r"job.runtime.keep_checkpoints=0.5 has type float"),
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
    with pytest.raises(SpecError, match="job lacks spec"):
        job_from_json({"schema": 1, "run_id": "x", "name": "n"})
