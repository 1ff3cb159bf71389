"""One head size along a ladder."""

from dataclasses import replace

import pytest

from sweeps.plan.expand import Expansion, expand
from sweeps.spec.config import SweepConfig
from sweeps.spec.grids import SweepSpec
from sweeps.spec.heads import ladder_heads
from tests.support.sweep_fixtures import base, facts, grid
from train.config.cli import load_config
from train.config.decode import merge
from train.config.resolve import DataInfo
from train.config.spec import ModelSpec, SpecError


def expanded(rule: str, lookup=facts, model=None, **grids) -> Expansion:
    spec = base(model=model) if model else base()
    return expand(SweepSpec(grids=grids, head_rule=rule), spec, lookup)


def heads_of(made: Expansion) -> dict[int, int]:
    models = [run.job.spec.model for run in made.runs]
    return {model.d_model: model.n_heads for model in models}


@pytest.mark.parametrize(
    ("widths", "head_dim"),
    [
        ([8, 16, 24, 32, 48, 64], 8),
        ([8, 12, 16], 4),
        ([16, 32, 64, 96], 16),
        ([384, 512, 768, 2048], 64),
        ([1024, 2048], 64),
        ([24, 48], 8),
        ([10, 12], 2),
    ],
)
def test_the_largest_power_of_two_up_to_64_that_divides_every_width(widths, head_dim):
    found = ladder_heads({"a": [ModelSpec(d_model=d) for d in widths]})
    assert found is not None and found.head_dim == head_dim
    bigger = [h for h in (2, 4, 8, 16, 32, 64) if all(d % h == 0 for d in widths)]
    assert max(bigger) == head_dim


def test_each_width_has_its_own_by_the_other_rule_and_they_jump():
    widths = grid(d_models=[16, 24, 32])
    assert heads_of(expanded("width", iso=widths)) == {16: 2, 24: 3, 32: 2}
    assert heads_of(expanded("ladder", iso=widths)) == {16: 2, 24: 3, 32: 4}


def test_a_run_whose_heads_do_not_change_keeps_its_identity():
    """16 wide, both rules give two heads of 8; 32 wide, two of 16 and four of 8."""
    widths = grid(d_models=[8, 16, 24, 32])
    old, new = (
        {r.job.name: r.run_id for r in expanded(rule, iso=widths).runs}
        for rule in ("width", "ladder")
    )
    same = {name for name in old if old[name] == new[name]}
    assert {name.split("-")[2] for name in same} == {"d16", "d24"}


def test_grids_on_the_same_data_share_one_size_and_others_do_not():
    sums = {"data": {"parts": {"sums": {"kind": "arithmetic"}}}}
    prints = {"text": "a" * 16, "sums": "b" * 16}

    def own(data, seq_len):
        name = next(iter(data.parts))
        return DataInfo(prints[name], 257, dict.fromkeys(data.parts, 10_000_000))

    made = expanded(
        "ladder",
        own,
        low=grid(d_models=[8, 16]),
        high=grid(d_models=[64]),
        sums=grid(d_models=[12, 48], base=sums),
    )
    assert {(h.grids, h.head_dim) for h in made.heads} == {(("low", "high"), 8), (("sums",), 4)}
    assert heads_of(made) == {8: 1, 16: 2, 64: 8, 12: 3, 48: 12}


def test_one_width_is_no_ladder():
    made = expanded("ladder", a=grid(d_models=[64]), b=grid(d_models=[64], budgets=[3e10]))
    assert made.heads == [] and heads_of(made) == {64: 2}


def test_heads_that_are_given_are_kept():
    given = grid(d_models=[16, 32], base={"model": {"n_heads": 1}})
    assert heads_of(expanded("ladder", a=given)) == {16: 1, 32: 1}
    fixed = grid(d_models=[16, 32], base={"model": {"head_dim": 4}})
    assert heads_of(expanded("ladder", a=fixed)) == {16: 4, 32: 8}
    shapes = [{"d_model": 16, "n_heads": 8}, {"d_model": 32}, {"d_model": 64}]
    made = expanded("ladder", a=grid(d_models=[], shapes=shapes))
    assert heads_of(made) == {16: 8, 32: 1, 64: 2}


def test_targets_of_n_params_keep_their_widths_and_share_a_size():
    targets = grid(d_models=[], n_params=[2e4, 1e5, 4e5])
    widths = heads_of(expanded("width", a=targets))
    made = heads_of(expanded("ladder", a=targets))
    assert set(made) == set(widths)
    assert len({d // n for d, n in made.items()}) == 1
    assert len({d // n for d, n in widths.items()}) > 1


def test_shared_keys_are_whole_at_every_width():
    model = replace(base().model, n_kv_heads=2)
    made = expanded("ladder", model=model, a=grid(d_models=[32, 64]))
    assert heads_of(made) == {32: 2, 64: 4}  # 32 over two heads of keys leaves 16


def test_a_plan_names_the_widths_that_make_heads_narrow():
    def line(*widths):
        (heads,) = expanded("ladder", iso=grid(d_models=list(widths))).heads
        return heads.text()

    assert line(8, 16, 32) == "one head size along iso: 8 channels"
    assert line(8, 12, 16, 20).startswith(
        "one head size along iso: 4 channels, as d12, d20 are not divisible by 8; widths in"
    )


def test_new_sweeps_are_ladders_and_stored_ones_that_do_not_say_are_not():
    assert load_config("sweep", ["preset=study"], SweepConfig).sweep.head_rule == "ladder"
    assert merge(SweepSpec(), {"name": "stored"}, "sweep").head_rule == "width"
    with pytest.raises(SpecError, match=r"sweep\.head_rule='depth'.*ladder, width"):
        SweepSpec(head_rule="depth")
