import re
from pathlib import Path

import pytest

from train.__main__ import TrainConfig
from train.config.cli import CONF_DIR, UsageError, expand_sweep, load_config
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    IsoflopError,
    ModelSpec,
    OptimSpec,
    ScheduleSpec,
)

GROUPS = {"model": ModelSpec, "optim": OptimSpec, "schedule": ScheduleSpec}


def load(*overrides: str) -> TrainConfig:
    return load_config("train", list(overrides), TrainConfig)


@pytest.mark.parametrize(
    "choice",
    [
        f"{path.parent.name}={path.stem}"
        for group in ("model", "data", "optim", "schedule", "tracker")
        for path in sorted((CONF_DIR / group).glob("*.yaml"))
        if path.stem != "empty"
    ],
)
def test_every_group_option_composes(choice):
    config = load(choice)
    assert isinstance(config.data, DataSpec)
    assert isinstance(config.model, ModelSpec)


def test_a_preset_wins_over_the_defaults_and_the_command_line_over_both():
    assert load("preset=gpu").precision == "bf16"
    assert load("preset=gpu", "precision=fp32").precision == "fp32"
    assert load("preset=gpu").tracker.kind == "wandb"


def test_several_trackers_are_one_choice_and_an_unknown_one_is_named():
    chosen = load("tracker=[wandb,tensorboard]", "tracker.project=scaling").tracker
    assert (chosen.kinds, chosen.project) == (("wandb", "tensorboard"), "scaling")
    assert load("tracker=mlflow").tracker.kinds == ("mlflow",)
    assert load("tracker.kind=[mlflow, trackio]").tracker.kinds == ("mlflow", "trackio")
    with pytest.raises(UsageError, match="tracker=nowhere is unknown; expected some of files"):
        load("tracker=[wandb,nowhere]")
    with pytest.raises(UsageError, match="model is a group; choose one"):
        load("model=[d16,d32]")


def test_an_explicit_horizon_replaces_the_presets():
    assert load().horizon == HorizonSpec(tokens_per_param=20)
    assert load("horizon.n_tokens=2e6").horizon == HorizonSpec(n_tokens=2e6)


def test_values_reach_nested_fields_that_no_yaml_names():
    config = load("model.n_heads=4", "data.parts.stdlib.weight=2", "runtime.keep_checkpoints=[0.5]")
    assert config.model.n_heads == 4
    assert config.data.parts["stdlib"].weight == 2
    assert config.runtime.keep_checkpoints == [0.5]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("preset=nope", "preset=nope is unknown; expected one of .*laptop"),
        ("model=nope", "model=nope is unknown; expected one of .*d64"),
        ("data=nope", "data=nope is unknown; expected one of .*stdlib"),
        ("modle=d64", "key 'modle' is unknown; did you mean model"),
        ("model.d_modle=64", "did you mean model.d_model?.*docs/settings.md"),
        ("lr_peak=1", "did you mean optim.lr_peak?"),
        ("learning.lr_peak=1", "did you mean optim.lr_peak?"),
        ("optim.rule.x=1", "optim.rule is text, which has no keys"),
        ("model=[1,2]", "model is a group; choose one of d128"),
        ("data.parts=[1]", "can't be combined"),
        ("data.parts.stdlib=1", "data.parts.stdlib: got 1; expected group"),
        ("runtime.branch=perhaps", "expected true or false"),
        ("model.d_model=64.5", "got 64.5; expected whole number"),
        ("model.d_model=null", "got null; expected whole number"),
        ("name=${nothing}", "refers to a key that is not set"),
        ("seed=1,2", "names several values"),
        ("+data@elsewhere=text", "key 'elsewhere' is unknown"),
        ("seed=abc", "seed: got 'abc'; expected whole number"),
        ("model.n_heads=3", "is not divisible by"),
        ("horizon.tokens_per_param=null", "exactly one of"),
        ("name=b[", "'name=b\\[' can't be read; expected KEY=VALUE"),
    ],
)
def test_bad_input_is_one_clear_line(override, words):
    with pytest.raises(IsoflopError, match=words) as caught:
        load(override)
    said = str(caught.value)
    assert "\n" not in said
    assert not re.search(r"\bstruct|Node|Config|OmegaConf|Hydra|full_key|override", said)


def test_both_horizons_are_refused():
    with pytest.raises(IsoflopError, match="got n_tokens=2e\\+06, flops=1e\\+09"):
        load("horizon.n_tokens=2e6", "horizon.flops=1e9")


def test_multirun_expands_to_the_product():
    assert expand_sweep(["seed=1,2", "model=d16,d32", "name=x"]) == [
        ["seed=1", "model=d16", "name=x"],
        ["seed=1", "model=d32", "name=x"],
        ["seed=2", "model=d16", "name=x"],
        ["seed=2", "model=d32", "name=x"],
    ]


def test_any_working_directory_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert load("model=d32").model.d_model == 32
    assert list(tmp_path.iterdir()) == []


def test_unreadable_overrides_are_usage_errors():
    with pytest.raises(UsageError):
        load("model.d_model=1,2")
