"""Expansion: every cell is a run, or is left out with a reason."""

import dataclasses

import pytest

from sweeps.plan.expand import expand, short_number
from sweeps.spec.grids import Bounds, GridSpec, SweepSpec
from tests.support.sweep_fixtures import base, expansion, facts, grid
from train.config.flops import count_params, flops_per_token
from train.config.spec import SpecError


def test_isoflop_derives_tokens_from_each_budget():
    runs = expansion(iso=grid()).runs
    assert len(runs) == 4
    for run in runs:
        model = run.job.spec.model
        batch = run.job.spec.optim.batch_tokens
        exact = run.job.flops_budget / flops_per_token(model)
        assert abs(run.n_tokens - exact) <= batch / 2
        assert run.flops == run.n_tokens * flops_per_token(model)
        assert run.n_params == count_params(model).n_params


def test_grid_crosses_shapes_with_tokens_and_seeds():
    runs = expansion(seeds=(0, 1, 2), g=grid(kind="grid", budgets=[], n_tokens=[1e5, 2e5])).runs
    assert len(runs) == 2 * 2 * 3
    assert {run.job.spec.seed for run in runs} == {0, 1, 2}
    assert all(run.job.flops_budget is None for run in runs)


def test_ladder_keeps_tokens_per_parameter():
    runs = expansion(ladder=grid(kind="ladder", budgets=[], tokens_per_param=[20])).runs
    for run in runs:
        assert run.n_tokens / run.n_params == pytest.approx(20, rel=0.01)


def test_targets_of_n_params_take_the_nearest_shape():
    runs = expansion(g=grid(d_models=[], n_params=[1e5])).runs
    assert runs[0].n_params == pytest.approx(1e5, rel=0.3)


def test_explicit_shapes_of_one_width_have_distinct_names():
    shapes = [{"d_model": 32, "n_layers": 2}, {"d_model": 32, "n_layers": 4}]
    runs = expansion(g=grid(d_models=[], shapes=shapes, budgets=[1e10])).runs
    assert [run.job.name for run in runs] == ["g-1e10-d32l2-s0", "g-1e10-d32l4-s0"]
    assert [run.job.spec.model.n_layers for run in runs] == [2, 4]


def test_the_same_realised_run_is_trained_once_and_noted():
    made = expansion(a=grid(), b=grid(budgets=[1e10]))
    assert len(made.runs) == 4
    merged = [cell for cell in made.left_out if cell.kind == "merged"]
    assert {(cell.grid, cell.reason) for cell in merged} == {
        ("b", "the same run as a-1e10-d16-s0"),
        ("b", "the same run as a-1e10-d32-s0"),
    }
    assert {cell.run_id for cell in merged} <= {run.run_id for run in made.runs}


def test_every_cell_is_a_run_or_left_out_with_a_reason():
    seeds = (0, 1)
    sweep = grid(budgets=[1e3, 1e10, 1e13], d_models=[16, 32, 64])
    made = expansion(seeds=seeds, bounds=Bounds(min_tokens_per_param=2), iso=sweep)
    n_cells = len(made.runs) + sum(len(cell.seeds) for cell in made.left_out)
    assert n_cells == 3 * 3 * len(seeds)
    assert all(cell.reason for cell in made.left_out)
    assert {cell.kind for cell in made.left_out} == {"dropped"}


@pytest.mark.parametrize(
    ("bounds", "word"),
    [
        (Bounds(min_steps=10**9), "bounds.min_steps"),
        (Bounds(max_steps=1), "bounds.max_steps"),
        (Bounds(min_tokens_per_param=1e9), "bounds.min_tokens_per_param"),
        (Bounds(max_tokens_per_param=1e-3), "bounds.max_tokens_per_param"),
        (Bounds(max_epochs=1e-9), "bounds.max_epochs"),
        (Bounds(max_flops=1), "bounds.max_flops"),
    ],
)
def test_each_bound_drops_and_an_empty_sweep_is_an_error(bounds, word):
    with pytest.raises(SpecError, match=word):
        expansion(bounds=bounds, iso=grid())


def test_more_epochs_than_the_data_allows_are_dropped():
    made = expansion(g=grid(kind="grid", budgets=[], n_tokens=[1e5, 1e9], d_models=[16]))
    assert len(made.runs) == 1
    assert "epochs" in made.dropped[0].reason


def test_a_grids_own_bounds_seeds_and_base_replace_the_sweeps():
    own = grid(seeds=[7], bounds=Bounds(), base={"model": {"seq_len": 32}, "optim": {"beta1": 0.8}})
    made = expansion(bounds=Bounds(min_steps=10**9), a=grid(), b=own)
    assert {run.job.grid for run in made.runs} == {"b"}
    assert {run.job.spec.seed for run in made.runs} == {7}
    spec = made.runs[0].job.spec
    assert (spec.model.seq_len, spec.optim.beta1) == (32, 0.8)


def test_facts_are_asked_for_each_grids_own_data():
    asked = []

    def lookup(data, seq_len):
        asked.append((tuple(data.parts), seq_len))
        return facts(data, seq_len)

    other = grid(
        base={"data": {"parts": {"sums": {"kind": "arithmetic"}}}, "model": {"seq_len": 16}}
    )
    sweep = SweepSpec(grids={"a": grid(), "b": other})
    expand(sweep, base(), lookup)
    assert asked == [(("text",), 64), (("sums",), 16)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "cube"}, "cube.*isoflop, grid, ladder"),
        ({"d_models": []}, "exactly one of d_models, n_params, shapes, init_from; got none"),
        ({"n_params": [1e4]}, "got d_models, n_params"),
        ({"budgets": []}, "budgets; got none"),
        ({"n_tokens": [1e5]}, "n_tokens.*no meaning for kind=isoflop"),
        ({"budgets": [-1.0]}, "budgets has -1"),
        ({"kind": "ladder", "budgets": [], "n_tokens": [1e5, 2e5]}, "use kind=grid"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": [1, 1]}, "a seed twice"),
        ({"base": {"seed": 3}}, "base.seed can't be changed"),
    ],
)
def test_a_grid_that_says_too_much_or_too_little_is_refused(values, message):
    with pytest.raises(SpecError, match=message):
        grid(**values)


def test_a_shape_that_does_not_divide_is_an_error_rather_than_a_dropped_cell():
    with pytest.raises(SpecError, match="not divisible"):
        expansion(g=grid(d_models=[], shapes=[{"d_model": 64, "n_heads": 3}]))


@pytest.mark.parametrize("name", ["", "a b", "../up", "x/y", ".hidden"])
def test_names_that_can_not_be_directories_are_refused(name):
    with pytest.raises(SpecError, match="names a directory"):
        SweepSpec(grids={name: grid()})
    with pytest.raises(SpecError, match="names a directory"):
        SweepSpec(name=name, grids={"g": grid()})


def test_bounds_that_exclude_everything_are_refused():
    with pytest.raises(SpecError, match="lies above"):
        Bounds(min_steps=10, max_steps=5)


def test_expansion_is_a_pure_function():
    first, second = expansion(iso=grid()), expansion(iso=grid())
    assert [run.run_id for run in first.runs] == [run.run_id for run in second.runs]
    assert dataclasses.asdict(first) == dataclasses.asdict(second)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e12, "1e12"), (2.5e6, "2.5e6"), (20, "20"), (0.5, "0.5"), (9999, "1e4"), (131072, "1.31e5")],
)
def test_short_number(value, text):
    assert short_number(value) == text


def test_grid_spec_has_no_horizon_of_its_own_kind():
    assert GridSpec(budgets=[1.0], d_models=[8]).horizons == [("flops", 1.0)]


def run_names(**grids):
    return [run.job.name for run in expansion(**grids).runs]


def test_names_are_unique_where_horizons_agree_in_three_digits():
    two = run_names(g=GridSpec(kind="grid", n_tokens=[100_000, 100_300, 5e5], d_models=[16]))
    assert two == ["g-1e5tok-d16-s0", "g-1.003e5tok-d16-s0", "g-5e5tok-d16-s0"]
    one = run_names(g=GridSpec(kind="grid", n_tokens=[100_300], d_models=[16]))
    assert one == ["g-1e5tok-d16-s0"]


def test_names_are_unique_where_shapes_agree_in_width_and_depth():
    shapes = [{"d_model": 16, "n_layers": 2, "d_ff": ff} for ff in (32, 64)]
    names = run_names(g=GridSpec(kind="grid", n_tokens=[1e5], shapes=shapes))
    assert len(set(names)) == 2
    assert all(name.startswith("g-1e5tok-d16l2-s0-") for name in names)
