"""Settings as further sides of a grid, and the best of each cell."""

import pytest

from sweeps.manage.status import read_sweep
from sweeps.plan.settings import Trial, best_lines, settings_label, settings_text
from sweeps.plan.write_sweep import write_plan
from tests.support.sweep_fixtures import expansion, grid, record_of
from train.config.spec import SpecError
from train.rundir.record import write_job, write_record


def test_cells_are_crossed_with_settings_and_each_value_is_trained():
    made = expansion(g=grid(budgets=[1e10], lr_peak=[1e-3, 3e-3], weight_decay=[0.0, 0.1]))
    assert len(made.runs) == 2 * 2 * 2
    for run in made.runs:
        optim = run.job.spec.optim
        assert (optim.lr_peak, optim.weight_decay) == tuple(run.settings.values())
    assert made.runs[1].job.name == "g-1e10-d16-lr1e-3-wd0.1-s0"
    assert {run.cell for run in made.runs} == {"g-1e10-d16", "g-1e10-d32"}
    warm = expansion(g=grid(budgets=[1e10], warmup_tokens=[0, 1e4], batch_tokens=[64, 128])).runs
    assert {run.job.spec.schedule.warmup_tokens for run in warm} == {0.0, 1e4}
    assert {run.job.spec.optim.batch_tokens for run in warm} == {64, 128}


def test_a_value_that_a_rule_would_give_is_the_same_run_as_without_an_axis():
    plain = expansion(g=grid(budgets=[1e10], d_models=[16])).runs[0]
    swept = expansion(
        g=grid(budgets=[1e10], d_models=[16], lr_peak=[plain.job.spec.optim.lr_peak])
    ).runs[0]
    assert swept.run_id == plain.run_id


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lr_peak": [0.0]}, "lr_peak has 0.0; must be positive"),
        ({"weight_decay": [-1.0]}, "weight_decay has -1.0; must be at least 0"),
        ({"lr_peak": [1e-3, 1e-3]}, "has a value twice"),
        (
            {"lr_peak": [1e-3], "base": {"optim": {"lr_peak": 1e-2}}},
            "is a side of the grid, and base.optim.lr_peak sets it too",
        ),
    ],
)
def test_axes_that_can_not_be_are_refused(values, words):
    with pytest.raises(SpecError, match=words):
        grid(**values)


def test_a_batch_that_does_not_divide_is_dropped_with_its_reason():
    made = expansion(g=grid(budgets=[1e10], d_models=[16], batch_tokens=[100, 128]))
    assert [run.settings for run in made.runs] == [{"batch_tokens": 128}]
    assert "batch_tokens=100 is not a multiple" in made.dropped[0].reason


def test_trunks_are_shared_by_equal_settings_alone():
    branching = grid(
        kind="grid",
        budgets=[],
        n_tokens=[1e5, 2e5],
        d_models=[16],
        lr_peak=[1e-3, 3e-3],
        branch=True,
        base={"schedule": {"name": "wsd"}},
    )
    runs = expansion(g=branching).runs
    assert len({run.trunk_id for run in runs}) == 2
    assert {(run.trunk_id, run.job.spec.optim.lr_peak) for run in runs} == {
        (run.trunk_id, run.settings["lr_peak"]) for run in runs
    }


def test_the_best_of_a_cell_is_named_with_its_neighbours_and_its_range():
    rates = (1e-3, 3e-3, 1e-2)
    losses = {1e-3: [3.2, 3.4], 3e-3: [3.1, 3.1], 1e-2: [3.25]}
    trials = [Trial("a", {"lr_peak": lr}, loss) for lr in rates for loss in losses[lr]]
    assert best_lines(trials) == [
        "a: best of 3 settings is lr_peak=3e-3, loss 3.1000; next lr_peak=0.01, 3.2500"
    ]
    trials[2:4] = [Trial("a", {"lr_peak": 3e-3}, None)]
    (line,) = best_lines([*trials, Trial("plain", {}, 1.0)])
    assert "lr_peak=0.01, loss 3.2500; next lr_peak=1e-3, 3.3000; 1 not finished" in line
    assert line.endswith("lr_peak is best at the end of its range")
    assert best_lines([Trial("a", {"lr_peak": lr}, None) for lr in rates]) == [
        "a: none of 3 settings is finished"
    ]
    both = [Trial("a", {"lr_peak": lr, "weight_decay": lr}, lr) for lr in rates]
    assert best_lines(both)[0].endswith("lr_peak, weight_decay are best at ends of their ranges")


def test_numbers_are_written_as_people_give_them():
    settings = {"lr_peak": 3e-3, "batch_tokens": 65536, "weight_decay": 0.1, "warmup_tokens": 1.5e5}
    assert settings_label(settings) == "-lr3e-3-b65536-wd0.1-w150000"
    assert settings_text({"lr_peak": 0.0123}) == "lr_peak=0.0123"
    assert settings_text({"lr_peak": 1.25e-4}) == "lr_peak=1.25e-4"


def test_status_names_the_best_of_each_cell(tmp_path):
    made = expansion(g=grid(budgets=[1e10], d_models=[16], lr_peak=[1e-3, 3e-3, 1e-2]))
    places = {run.run_id: tmp_path / "runs" / run.dir_name for run in made.runs}
    for run, loss in zip(made.runs, (3.0, 2.5, 2.75), strict=True):
        write_job(places[run.run_id], run.job)
        write_record(places[run.run_id], record_of(run.job, loss=loss))
    write_plan(tmp_path, made, places, [1.0] * 3)
    assert read_sweep(tmp_path).best == (
        "g-1e10-d16: best of 3 settings is lr_peak=3e-3, loss 2.5000; next lr_peak=0.01, 2.7500",
    )
