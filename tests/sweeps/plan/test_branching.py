"""Which runs of a sweep share a trunk."""

from dataclasses import replace

import pytest

from sweeps.plan.expand import expand
from sweeps.spec.grids import Bounds, GridSpec, SweepSpec
from tests.support.sweep_fixtures import FACTS, base, expansion, facts, grid
from train.config.spec import ScheduleSpec, SpecError
from train.config.wsd_branching import trunk_end

TOKENS = [1e6, 2e6, 4e6, 8e6]


def branched(seeds=(0,), bounds=None, schedule=None, **values):
    cells = GridSpec(
        **{"kind": "grid", "d_models": [16, 32], "n_tokens": TOKENS, "branch": True, **values}
    )
    sweep = SweepSpec(name="t", seeds=list(seeds), bounds=bounds or Bounds(), grids={"g": cells})
    return expand(sweep, base(schedule=schedule or ScheduleSpec(name="wsd")), facts)


def test_cells_of_one_shape_and_seed_are_one_trunk():
    runs = branched(seeds=(0, 1)).runs
    assert len(runs) == 16
    trunks = {(run.job.spec.model.d_model, run.job.spec.seed): set() for run in runs}
    for run in runs:
        trunks[run.job.spec.model.d_model, run.job.spec.seed].add(run.trunk_id)
    assert [len(ids) for ids in trunks.values()] == [1, 1, 1, 1]
    assert len(set.union(*trunks.values())) == 4


def test_without_branch_the_rule_gives_every_length_settings_of_its_own():
    runs = branched(branch=False).runs
    assert {run.trunk_id for run in runs} == {None}
    assert {run.first_step for run in runs} == {0}
    assert len({run.job.spec.optim.batch_tokens for run in runs}) > 1


def test_a_trunk_has_the_settings_of_its_longest_run_and_the_warm_up_of_its_shortest():
    short = {"d_models": [32], "n_tokens": [2e5, 8e5, 3.2e6]}
    alone, shared = branched(branch=False, **short).runs, branched(**short).runs
    assert {run.job.spec.optim for run in shared} == {alone[-1].job.spec.optim}
    (warmup,) = {run.job.spec.schedule.warmup_tokens for run in shared}
    assert warmup < alone[-1].job.spec.schedule.warmup_tokens
    assert warmup <= 0.1 * shared[0].n_tokens


def test_a_run_that_is_dropped_sets_nothing():
    """The data hold ten million tokens: a longer run has no say in its shape's rate."""
    within, beyond = branched(), branched(n_tokens=[*TOKENS, 4e7])
    assert [run.run_id for run in within.runs] == [run.run_id for run in beyond.runs]
    assert {cell.horizon["n_tokens"] for cell in beyond.dropped} == {4e7}
    assert FACTS.n_train_tokens["text"] < 4e7


def test_many_lengths_cost_little_more_than_the_longest():
    runs = branched(d_models=[32]).runs
    ends = [trunk_end(run.job.spec) for run in runs]
    assert [run.first_step for run in runs] == [0, *ends[:-1]]
    spent = sum(run.flops_to_spend for run in runs)
    longest = max(run.flops for run in runs)
    decays = sum(0.2 * run.flops for run in runs[:-1])
    assert spent == pytest.approx(longest + decays, rel=1e-3)
    assert sum(run.flops for run in runs) == pytest.approx(longest * 15 / 8, rel=1e-3)


def test_other_schedules_can_not_branch():
    with pytest.raises(SpecError, match=r"grids\.g\.branch=true got schedule=cosine"):
        branched(schedule=ScheduleSpec(name="cosine"))
    with pytest.raises(SpecError, match="without horizon_tokens"):
        branched(schedule=ScheduleSpec(name="wsd", horizon_tokens=1e7))


def test_isoflop_budgets_may_branch_as_well():
    runs = branched(kind="isoflop", n_tokens=[], budgets=[1e11, 3e11]).runs
    assert [run.first_step > 0 for run in runs] == [False, False, True, True]


def test_branching_changes_no_identity_of_equal_settings():
    """A cell with the trunk's settings is the same run, whether it may branch or not."""
    run = branched(d_models=[32]).runs[0]
    spec = run.job.spec
    alone = GridSpec(
        kind="grid",
        d_models=[32],
        n_tokens=[1e6],
        base={
            "optim": {"lr_peak": spec.optim.lr_peak, "batch_tokens": spec.optim.batch_tokens,
                      "weight_decay": spec.optim.weight_decay, "beta2": spec.optim.beta2},
            "schedule": {"name": "wsd", "warmup_tokens": spec.schedule.warmup_tokens},
        },
    )  # fmt: skip
    assert expansion(alone=alone).runs[0].run_id == run.run_id
    assert replace(run.job, spec=spec).run_id == run.run_id


def test_ordinary_sweeps_spend_what_they_train():
    for run in expansion(iso=grid()).runs:
        assert run.flops_to_spend == run.flops
