import dataclasses
import json
from dataclasses import replace

import pytest

from train.config.run_config import RunConfig, RuntimeSpec, TrackerSpec, job_from_json, job_to_json
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    ModelSpec,
    OptimSpec,
    RunSpec,
    ScheduleSpec,
    SourceSpec,
    SpecError,
    TokenizerSpec,
    canonical_json,
)

DATA = DataSpec(parts={"stdlib": SourceSpec()}, fingerprint="f")
RESOLVED = RunSpec(data=DATA, horizon=HorizonSpec(n_tokens=1e6), n_steps=10)


def test_run_id_is_stable_across_versions_of_this_code():
    """Changing this value orphans everybody's results: raise SCHEMA_VERSION when you mean to."""
    assert RESOLVED.run_id == "83d372b09082"


def test_a_field_that_came_later_changes_the_identity_only_away_from_its_default():
    """Specs of earlier releases lack it, and their runs are found again."""
    assert RESOLVED.data.val_rule == "characters"
    later = replace(RESOLVED, data=replace(DATA, val_rule="tokens"))
    assert later.run_id != RESOLVED.run_id
    content = job_to_json(RunConfig(spec=RESOLVED))
    del content["spec"]["data"]["val_rule"], content["spec"]["data"]["tokenizer"]["end_id"]
    assert job_from_json(content).run_id == RESOLVED.run_id


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"precision": "bf16"},
        {"n_steps": 11},
        {"model": ModelSpec(d_model=32)},
        {"optim": OptimSpec(lr_peak=0.1)},
        {"schedule": ScheduleSpec(name="linear")},
        {"data": replace(DATA, fingerprint="g")},
        {"data": replace(DATA, val_tokens=1000)},
    ],
)
def test_run_id_changes_with_anything_that_changes_numbers(changed):
    assert replace(RESOLVED, **changed).run_id != RESOLVED.run_id


def test_run_id_ignores_how_the_run_is_executed():
    slow = RunConfig(spec=RESOLVED, runtime=RuntimeSpec(threads=4, log_every=1))
    fast = RunConfig(spec=RESOLVED, tracker=TrackerSpec(kind="wandb"), name="other")
    assert slow.run_id == fast.run_id


def test_run_id_refuses_a_spec_that_is_not_resolved():
    with pytest.raises(SpecError, match="n_steps is not resolved"):
        _ = replace(RESOLVED, n_steps=None).run_id


def test_whole_floats_and_ints_are_the_same_spec():
    assert canonical_json({"b": 2.0, "a": [1, 1.5]}) == '{"a":[1,1.5],"b":2}'


def test_job_survives_json():
    job = RunConfig(
        spec=RESOLVED,
        runtime=RuntimeSpec(keep_checkpoints=[0.5]),
        name="n",
        flops_budget=1e12,
    )
    assert job_from_json(json.loads(json.dumps(job_to_json(job)))) == job


def test_an_edited_spec_is_refused():
    content = job_to_json(RunConfig(spec=RESOLVED))
    content["spec"]["seed"] = 7
    with pytest.raises(SpecError, match="it was edited"):
        job_from_json(content)


@pytest.mark.parametrize("content", [{}, {"schema": 99}, [], None, {"schema": 1, "spec": 3}])
def test_garbage_is_a_spec_error(content):
    with pytest.raises(SpecError):
        job_from_json(content)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ModelSpec(d_model=65, n_heads=4), "d_model=65 .*n_heads=4; use d_model=64 or 68"),
        (lambda: ModelSpec(d_model=6, n_heads=2), "must be even"),
        (lambda: ModelSpec(d_model=64, n_heads=4, n_kv_heads=3), "not a multiple of model.n_kv_h"),
        (lambda: ModelSpec(family="gpt2", n_kv_heads=1), "not for family=gpt2"),
        (lambda: ModelSpec(family="bert"), "family='bert' is unknown; expected one of llama"),
        (lambda: HorizonSpec(), "exactly one of .* got none"),
        (lambda: HorizonSpec(n_tokens=1e6, flops=1e9), "exactly one of .* n_tokens=1e"),
        (lambda: HorizonSpec(n_tokens=-1), "must be positive"),
        (lambda: HorizonSpec(flops=float("inf")), "finite"),
        (lambda: DataSpec(), "data.parts is empty"),
        (lambda: SourceSpec(weight=0), "must be positive"),
        (lambda: TokenizerSpec(kind="bpe"), "needs tokenizer.vocab_size"),
        (lambda: TokenizerSpec(vocab_size=300), "belongs to kind=bpe"),
        (lambda: OptimSpec(lr_peak=0), "lr_peak=0 must be positive"),
        (lambda: OptimSpec(beta2=1.0), r"\[0, 1\)"),
        (lambda: ScheduleSpec(name="sine"), "expected one of cosine"),
        (lambda: RuntimeSpec(keep_checkpoints=[0.0]), "fractions of the run"),
        (lambda: TrackerSpec(mode="maybe"), "mode='maybe'"),
        (lambda: TrackerSpec(["wandb", "aim"]), "kind='aim' is unknown; expected one of files"),
        (lambda: replace(RESOLVED, seed=-1), "seed=-1"),
    ],
)
def test_bad_values_are_named_with_what_is_expected(make, words):
    with pytest.raises(SpecError, match=words):
        make()


def test_specs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RESOLVED.seed = 3  # type: ignore[misc]
