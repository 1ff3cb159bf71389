"""Plans of sweeps on data that is not here, and presets that are plans alone."""

import pytest

from sweeps.plan.data_info import AssumedDataError, DataInfoCache
from sweeps.plan.plan import make_plan, plan_json
from sweeps.spec.config import SweepConfig
from train.config.cli import group_options, load_config
from train.config.resolve import DataInfo
from train.config.spec import SpecError

LARGE = ("workstation", "box8", "cluster", "hoffmann")

FACTS = DataInfo("f" * 16, 257, {})


def noting(asked: list):
    def describe(data, seq_len: int) -> DataInfo:
        asked.append(data)
        return FACTS

    return describe


def config(*overrides: str) -> SweepConfig:
    return load_config("sweep", ["calibrate=false", *overrides], SweepConfig).settled()


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    def refuse(*_):
        raise AssertionError("a plan must not download")

    monkeypatch.setattr("train.data.hub.fetch", refuse)
    monkeypatch.setattr("train.data.hub._stream", refuse)


@pytest.mark.parametrize("preset", LARGE)
def test_large_presets_are_planned_without_their_data_and_say_what_they_assume(preset):
    made = make_plan(config(f"preset={preset}", "action=plan"))
    assert len(made.runs) >= 15
    assert "not on this machine: assumed" in made.assumed[0]
    assert plan_json(made, config(f"preset={preset}"))["assumed"] == list(made.assumed)
    assert made.disk.tokens == sum(one.token_bytes for one in made.preparations) > 0
    assert made.disk.text == sum(one.text_bytes for one in made.preparations) > 0
    budgets = {run.job.flops_budget for run in made.runs}
    for budget in budgets:
        ratios = [r.n_tokens / r.n_params for r in made.runs if r.job.flops_budget == budget]
        assert min(ratios) < 20 < max(ratios), f"no size on either side at {budget:g} FLOPs"


def test_a_launch_is_never_made_of_assumptions(monkeypatch):
    asked = []
    monkeypatch.setattr("sweeps.plan.data_info.describe", noting(asked))
    monkeypatch.setattr("sweeps.plan.data_info.sources_of", lambda data: {})
    given = config("preset=workstation")
    DataInfoCache(given)(given.data, 1024)
    assert asked == [given.data]


def test_printed_scripts_assume_as_a_plan_does():
    given = config("preset=workstation", "launcher=slurm", "launcher.dry_run=true")
    assert given.action == "launch"
    assert "not on this machine: assumed" in make_plan(given).assumed[0]


def test_data_that_is_here_is_looked_up_in_a_plan_too(monkeypatch):
    asked = []
    monkeypatch.setattr("sweeps.plan.data_info.describe", noting(asked))
    monkeypatch.setattr("sweeps.plan.data_info.sources_of", lambda data: {})
    monkeypatch.setattr("sweeps.plan.data_info.is_here", lambda options: True)
    given = config("preset=workstation", "action=plan")
    lookup = DataInfoCache(given)
    lookup(given.data, 1024)
    assert asked == [given.data]
    assert not lookup.assumed


def test_a_plan_alone_is_not_launched_without_force():
    with pytest.raises(AssumedDataError, match=r"plan alone .*force=true"):
        make_plan(config("preset=hoffmann"))


def test_assumptions_must_be_positive():
    with pytest.raises(SpecError, match=r"assume\.n_train_tokens"):
        config("preset=workstation", "assume.n_train_tokens=0")


@pytest.mark.parametrize("preset", group_options("preset"))
def test_every_preset_composes(preset):
    assert config(f"preset={preset}").action == "launch"
