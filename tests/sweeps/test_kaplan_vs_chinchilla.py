"""The recipes of preset=kaplan_vs_chinchilla differ in just the switches that name them."""

import dataclasses

import pytest

from sweeps.plan.expand import expand
from sweeps.spec.config import SweepConfig
from train.config.cli import load_config
from train.config.resolve import DataInfo
from train.config.spec import RunSpec

FACTS = DataInfo(fingerprint="f" * 16, vocab_size=257, n_train_tokens={"stdlib": 30_000_000})
STEPS = ("kaplan", "short_warmup", "matched_schedule", "chinchilla")


@pytest.fixture(scope="module")
def cells() -> dict[str, dict[tuple[float | None, int], RunSpec]]:
    """Resolved specs by recipe, then by budget and width."""
    config = load_config("sweep", ["preset=kaplan_vs_chinchilla"], SweepConfig)
    made = expand(config.sweep, config.base, lambda data, seq_len: FACTS)
    found: dict[str, dict[tuple[float | None, int], RunSpec]] = {name: {} for name in STEPS}
    for run in made.runs:
        spec = run.job.spec
        found[run.job.grid][run.job.flops_budget, spec.model.d_model] = spec
    return found


def differing(before: RunSpec, after: RunSpec) -> set[str]:
    ours, theirs = dataclasses.asdict(before), dataclasses.asdict(after)
    return {
        f"{part}.{name}"
        for part in ("model", "data", "optim", "schedule")
        for name in ours[part]
        if ours[part][name] != theirs[part][name]
    }


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("kaplan", "short_warmup", {"optim.rule", "schedule.warmup_tokens"}),
        ("short_warmup", "matched_schedule", {"schedule.horizon_tokens"}),
        (
            "matched_schedule",
            "chinchilla",
            {"optim.rule", "optim.lr_peak", "optim.batch_tokens", "optim.beta2"},
        ),
    ],
)
def test_each_step_is_one_switch(cells, before, after, allowed):
    shared = cells[before].keys() & cells[after].keys()
    assert len(shared) >= 20
    found = set[str]()
    for cell in shared:
        found |= differing(cells[before][cell], cells[after][cell])
    # The warm-up is a tenth of D, which is rounded to whole steps of the batch.
    assert found - {"schedule.warmup_tokens"} <= allowed
    assert found >= allowed


def test_the_recipes_train_the_same_cells(cells):
    assert len({frozenset(cells[name]) for name in STEPS}) == 1


def test_kaplans_warmup_and_horizon_are_those_of_every_run(cells):
    schedules = {spec.schedule for spec in cells["kaplan"].values()}
    assert len(schedules) == 1
    assert {spec.optim.batch_tokens for spec in cells["kaplan"].values()} == {1024}


def test_tuned_warmups_follow_the_batch_of_the_rule(cells):
    for spec in cells["chinchilla"].values():
        assert spec.schedule.warmup_tokens <= 0.1 * spec.horizon.n_tokens
        assert spec.schedule.horizon_tokens is None
