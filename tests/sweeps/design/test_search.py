"""The search for a design: layouts of a given cost, their precision, and the preset of the best."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from analysis.data.cost_law import fit_cost
from analysis.fits.parametric.fisher_information import precision
from analysis.studies.known_surfaces import BESIROGLU
from sweeps.design.candidates import Combination, Ground, Ladder, Limits, layouts, scaled
from sweeps.design.design import designed, sweep_of
from sweeps.design.design_table import design
from sweeps.design.search import search, tightest, tried
from sweeps.plan.expand import expand
from sweeps.plan.plan import make_plan
from sweeps.spec.config import SweepConfig
from sweeps.spec.design import DesignSpec
from tests.support.sweep_fixtures import base, facts
from train.config.cli import load_config
from train.config.flops import count_params, flops_per_token
from train.config.resolve import DataInfo
from train.config.shapes import complete_shape
from train.config.spec import IsoflopError, ModelSpec, SpecError

TEMPLATE = ModelSpec(vocab_size=257, seq_len=64)
GROUND = Ground(BESIROGLU, Ladder.of(TEMPLATE), Limits())
SMALL = DesignSpec(budgets=[3, 4], sizes=[5, 6], reach=[4], spans=[10], seeds=[1, 2], replicates=20)
FEW = [
    *("design.budgets=[3]", "design.sizes=[6]", "design.reach=[4]", "design.spans=[10]"),
    *("design.seeds=[1]", "design.best=1", "design.replicates=20", "model.seq_len=64"),
]


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    """Facts of any data: endless tokens, vocabulary 257."""

    def known(data, seq_len):
        return DataInfo("f" * 16, 257, dict.fromkeys(data.parts))

    monkeypatch.setattr("sweeps.plan.data_info.describe", known)


def composed(*overrides: str) -> SweepConfig:
    return load_config("sweep", ["action=design", *FEW, *overrides], SweepConfig).settled()


def test_the_ladder_rises_and_counts_as_the_shapes_do():
    ladder = GROUND.ladder
    assert np.all(np.diff(ladder.n_params) > 0)
    index = int(np.flatnonzero(ladder.d_model == 64)[0])
    shape = complete_shape(replace(TEMPLATE, d_model=64))
    assert ladder.n_params[index] == count_params(shape).n_params
    assert ladder.flops_per_token[index] == flops_per_token(shape)


def test_widths_that_a_fixed_head_count_does_not_divide_are_left_out():
    widths = Ladder.of(replace(TEMPLATE, d_model=6, n_heads=3)).d_model
    assert len(widths) > 0
    assert np.all(widths % 6 == 0)


@pytest.mark.parametrize("total", [1e13, 1e17, 1e20])
def test_every_layout_costs_what_was_asked(total):
    made = list(layouts(SMALL, total, GROUND))
    assert {layout.choice.kind for layout in made} == {"isoflop", "grid"}
    for layout in made:
        assert layout.cost == pytest.approx(total, rel=0.04)
        assert layout.n_runs == len(layout.n_params) * layout.choice.seeds


@pytest.mark.parametrize("kind", ["isoflop", "grid"])
def test_a_layout_expands_into_the_runs_that_it_promises(kind):
    layout = scaled(Combination(kind, 4, 6, 4.0, 10.0, 2), 1e13, GROUND)
    assert layout is not None
    config = composed("budget=1e13")
    sweep = replace(
        sweep_of(search(SMALL, 1e13, GROUND, 0.01)[0], config), grids=layout.grids, seeds=[0, 1]
    )
    big = replace(facts(base().data, 64), n_train_tokens={"text": None})
    runs = expand(sweep, base(), lambda *_: big).runs
    assert len(runs) == layout.n_runs
    assert sorted({run.n_params for run in runs}) == sorted(set(layout.n_params))
    assert sum(run.flops for run in runs) == pytest.approx(layout.cost, rel=0.01)


def test_an_isoflop_layout_holds_the_optimum_of_every_budget():
    layout = scaled(Combination("isoflop", 3, 6, 4.0, 10.0, 1), 1e14, GROUND)
    assert layout is not None
    for flops in np.unique(layout.flops):
        own = layout.n_params[layout.flops == flops]
        best = GROUND.ladder.n_params[GROUND.ladder.best(BESIROGLU, flops)]
        assert own.min() < best < own.max()


def test_cells_beyond_the_limits_are_left_out():
    limits = Limits(max_tokens=1e7, min_ratio=2.0, max_ratio=200.0)
    made = list(layouts(SMALL, 1e13, replace(GROUND, limits=limits)))
    assert made
    for layout in made:
        assert layout.n_tokens.max() <= 1e7
        assert (layout.n_tokens / layout.n_params).min() >= 2
        assert (layout.n_tokens / layout.n_params).max() <= 200


def test_candidates_are_ranked_by_what_was_asked():
    for by in ("a", "E"):
        found = search(replace(SMALL, by=by), 1e14, GROUND, 0.01)
        widths = [getattr(candidate.expected, by) for candidate in found]
        assert widths == sorted(widths)


def test_more_seeds_at_the_same_cells_tell_more():
    few, many = (
        scaled(Combination("isoflop", 3, 6, 4.0, 10.0, seeds), 1e13 * seeds, GROUND)
        for seeds in (1, 4)
    )
    assert few is not None and many is not None
    own = replace(BESIROGLU, cost=fit_cost(few.n_params, few.n_tokens, few.flops))
    once = precision(own, few.n_params, few.n_tokens, 0.01).a
    again = precision(own, np.repeat(many.n_params, 4), np.repeat(many.n_tokens, 4), 0.01).a
    assert again < once / 1.8


def test_simulated_spread_is_near_what_information_promises():
    config = composed("budget=1e14")
    best = search(SMALL, 1e14, GROUND, 0.005)[0]
    endless = DataInfo("f" * 16, 257, {"text": None})
    runs = expand(sweep_of(best, config), base(), lambda *_: endless).runs
    trials = tried(runs, BESIROGLU, 0.005, 60, np.random.default_rng(0))
    parametric = trials[-1]
    assert parametric.approach == "parametric"
    assert parametric.n_converged == 60
    # A Huber loss narrower than the noise is some 1.25 times as wide as least squares.
    assert 0.8 < parametric.spreads["a"].half_width / best.expected.a < 2
    assert tightest(trials, "a") <= parametric.spreads["a"].within
    assert tightest(trials, "none") == float("inf")


def test_the_best_design_is_a_preset_that_plans(tmp_path, capsys):
    path = tmp_path / "best.yaml"
    design(composed("budget=1e13", f"out={path}"), Console(width=140))
    printed = capsys.readouterr().out
    assert "half-widths of 95 % intervals at 1e13 FLOPs" in printed
    assert "what another cost would buy" in printed
    assert printed.splitlines()[-1] == str(path)
    config = load_config("sweep", [f"preset={path}", "action=plan", "calibrate=false"], SweepConfig)
    assert config.sweep.name == "design-1e13"
    plan = make_plan(config)
    assert sum(run.flops for run in plan.runs) == pytest.approx(1e13, rel=0.05)
    assert config.model.seq_len == 64


def test_the_outcome_as_json(tmp_path, capsys):
    path = tmp_path / "best.yaml"
    design(composed("budget=1e13", f"out={path}", "format=json"), Console())
    content = json.loads(capsys.readouterr().out)
    assert content["preset"] == str(path)
    assert content["tried"][0]["trials"][0]["n_replicates"] == 20
    assert [row["factor"] for row in content["other_costs"]] == [0.1, 0.3, 3.0, 10.0]


def test_a_design_beyond_the_data_says_what_is_missing(monkeypatch, tmp_path, capsys):
    small = DataInfo("f" * 16, 257, {"stdlib": 1_000_000})
    monkeypatch.setattr("sweeps.plan.data_info.describe", lambda *_: small)
    design(composed("budget=1e15", f"out={tmp_path / 'best.yaml'}"), Console(width=140))
    note = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("note: "))
    assert "holds 1e+06 tokens" in note
    assert "(stdlib)" in note


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("sweep.name=x",), "needs what all runs may cost"),
        (("budget=1e13", "sweep.surface=kaplan"), "not of the form"),
        (("budget=1e13", "sweep.surface=nowhere"), "unknown; expected one of hoffmann"),
        (("budget=1e40",), "leave the ladder"),
        (("budget=1e13", "sweep.noise=0.9"), "no approach converges"),
    ],
)
def test_a_design_that_can_not_be_made_says_why(overrides, words):
    with pytest.raises(IsoflopError, match=words):
        designed(composed(*overrides))


@pytest.mark.parametrize(
    "override",
    ["budget=-1", "design.by=c", "design.kinds=[ladder]", "design.sizes=[2]", "design.seeds=[]",
     "design.replicates=3", "design.best=0"],
)  # fmt: skip
def test_bad_settings_are_refused(override):
    with pytest.raises(SpecError):
        composed("budget=1e13", override)
