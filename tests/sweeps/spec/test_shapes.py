"""The shapes that grids name."""

import pytest

from sweeps.spec.grids import SweepSpec
from sweeps.spec.shapes import widest
from tests.support.sweep_fixtures import grid
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec, SpecError


def sweep(**grids) -> SweepSpec:
    return SweepSpec(name="test", grids=grids)


def test_the_widest_shape_is_found_over_all_grids_and_ways_to_name_one():
    by_width = grid(d_models=[16, 48])
    by_shape = grid(d_models=[], shapes=[{"d_model": 96, "n_layers": 1}])
    by_params = grid(d_models=[], n_params=[1e6])
    assert widest(sweep(a=by_width), ModelSpec()) == 48
    assert widest(sweep(a=by_width, b=by_shape), ModelSpec()) == 96
    from_params = widest(sweep(a=by_params), ModelSpec())
    assert complete_shape(ModelSpec(d_model=from_params)).n_layers == 2
    assert 100 < from_params < 240  # 12 x 2 layers x d^2 = 1e6 at d = 204, less for the head


def test_a_sweep_whose_grids_are_to_follow_has_its_models_width():
    assert widest(sweep(), ModelSpec(d_model=40)) == 40


def test_a_grids_own_base_is_heeded_and_checked():
    changed = grid(d_models=[16], base={"model": {"n_heads": 3}})
    with pytest.raises(SpecError):
        widest(sweep(a=changed), ModelSpec())
