from dataclasses import replace

import pytest

from train.config.resolve import resolve
from train.config.run_config import RuntimeSpec
from train.config.spec import HorizonSpec, RunSpec, ScheduleSpec
from train.config.wsd_branching import flops_of_steps, latest_branch, trunk_end, trunk_id
from train.data.dataset import describe


@pytest.fixture(scope="module")
def of_steps(tiny_job):
    """Runs of one trunk, by their number of steps."""
    schedule = ScheduleSpec(name="wsd", warmup_tokens=5 * 128.0)

    def build(n_steps: int, **changes) -> RunSpec:
        optim = replace(tiny_job.spec.optim, lr_peak=0.01, batch_tokens=128)
        asked = replace(
            tiny_job.spec,
            optim=optim,
            horizon=HorizonSpec(n_tokens=n_steps * 128.0),
            n_steps=None,
            schedule=replace(schedule, **changes),
        )
        return resolve(asked, describe(asked.data, 32))

    return build


def test_runs_that_differ_in_length_and_decay_alone_share_a_trunk(of_steps):
    short = of_steps(40)
    same = [of_steps(80), of_steps(40, decay_fraction=0.5), of_steps(40, final_fraction=0.0)]
    assert {trunk_id(spec) for spec in same} == {trunk_id(short)}
    assert len({spec.run_id for spec in [short, *same]}) == 4


def test_any_change_of_a_step_before_the_decay_changes_the_trunk(of_steps):
    short = of_steps(40)
    others = [
        replace(short, seed=1),
        replace(short, optim=replace(short.optim, lr_peak=0.02)),
        replace(short, optim=replace(short.optim, batch_tokens=64)),
        replace(short, model=replace(short.model, d_model=32)),
        of_steps(40, warmup_tokens=6 * 128.0),
    ]
    ids = [trunk_id(spec) for spec in [short, *others]]
    assert len(set(ids)) == 6


def test_a_schedule_that_knows_the_length_from_the_start_has_no_trunk(of_steps):
    assert trunk_id(of_steps(40, name="cosine")) is None
    assert trunk_id(of_steps(40, horizon_tokens=80 * 128.0)) is None
    assert latest_branch(of_steps(40, name="linear"), RuntimeSpec(branch=True)) is None


def test_up_to_its_end_a_trunk_has_one_learning_rate(of_steps):
    runs = [of_steps(40), of_steps(80), of_steps(40, decay_fraction=0.5)]
    ends = [trunk_end(run) for run in runs]
    assert ends == [32, 64, 20]
    for step in range(20):
        assert len({run.learning_rate(step) for run in runs}) == 1
    assert runs[2].learning_rate(21) < runs[0].learning_rate(21)


def test_a_branch_starts_before_the_first_model_that_it_is_to_keep(of_steps):
    run = of_steps(80)
    assert latest_branch(run, RuntimeSpec(branch=True)) == 64
    assert latest_branch(run, RuntimeSpec(branch=True, keep_checkpoints=[0.5, 1.0])) == 39
    assert latest_branch(run, RuntimeSpec()) is None


def test_flops_of_all_steps_are_the_runs(of_steps):
    run = of_steps(40)
    assert flops_of_steps(run, 40) == 2 * flops_of_steps(run, 20) > 0
