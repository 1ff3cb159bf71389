import json

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.__main__ import COMMAND, compare_sweeps, output_directory
from analysis.config import AnalysisConfig
from analysis.studies.comparison import ExponentRow, setting_differences, spec_differences
from train.commands.command_line import run_command
from train.config.cli import load_config


@pytest.fixture(scope="module")
def other_sweep(sweep_dir, tmp_path_factory):
    """The synthetic sweep again, worse by 3 % everywhere, under another learning rate."""
    directory = tmp_path_factory.mktemp("results") / "other"
    directory.mkdir()
    runs = pd.read_parquet(sweep_dir / "runs.parquet")
    runs = runs.assign(run_id="o" + runs["run_id"], sweep="other", lr_peak=0.02)
    runs.assign(loss=1.03 * runs["loss"]).to_parquet(directory / "runs.parquet")
    curves = pd.read_parquet(sweep_dir / "curves.parquet")
    curves = curves.assign(run_id="o" + curves["run_id"], loss=1.03 * curves["loss"])
    curves.to_parquet(directory / "curves.parquet")
    return directory


@pytest.fixture(scope="module")
def compared(sweep_dir, other_sweep, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    overrides = [f"compare=[{sweep_dir},{other_sweep}]", f"out={out}", "fit.n_resamples=100"]
    path = compare_sweeps(load_config("analysis", overrides, AnalysisConfig), "the command")
    return path, json.loads((out / "comparison.json").read_text())


def test_equal_exponents_are_not_told_apart(compared):
    _, made = compared
    for pair in made["exponents"]:
        low, high = pair["difference_interval"]
        assert low < pair["difference"] < high
        assert pair["difference"] == pytest.approx(0, abs=0.02)
    assert "do not tell them apart" in made["conclusion"]


def test_shared_budgets_say_how_much_the_losses_differ(compared):
    _, made = compared
    budgets = [budget["flops"] for budget in made["budgets"]]
    assert budgets == pytest.approx([2e11, 8e11, 3.2e12], rel=0.01)
    assert [budget["loss_ratio"] for budget in made["budgets"]] == pytest.approx([0.03] * 3)


def test_the_page_shows_both_sweeps(compared):
    path, _ = compared
    html = path.read_text()
    for name in ("synthetic", "other"):
        assert f"Excluded runs of {name}" in html
    for name in ("exponents", "overlay"):
        assert (path.parent / "figures" / f"{name}.svg").stat().st_size > 5000
    assert "Runs (104 of 104)" in html  # 48 fitted and 4 of a ladder, twice
    assert "lr_peak" in html


def test_a_difference_of_exponents_has_the_interval_of_independent_estimates():
    pair = ExponentRow("isoflop", "a", (0.4, 0.5), ((0.37, 0.43), (0.46, 0.54)))
    assert pair.difference == pytest.approx(0.1)
    assert pair.difference_interval == pytest.approx((0.05, 0.15))
    lopsided = ExponentRow("isoflop", "a", (0.4, 0.5), ((0.4, 0.43), (0.46, 0.5)))
    assert lopsided.difference_interval == pytest.approx((0.05, 0.1))
    missing = ExponentRow("isoflop", "a", (0.4, np.nan), ((0.37, 0.43), (np.nan, np.nan)))
    assert np.isnan(missing.difference_interval).all()


def test_settings_differ_by_dotted_key():
    ours = yaml.safe_load("model: {d: 1, h: 2}\nsweep: {grids: {a: {x: 1}}}")
    theirs = yaml.safe_load("model: {d: 3, h: 2}\nsweep: {grids: {b: {x: 1}}}")
    assert setting_differences(ours, theirs) == [
        ("model.d", "1", "3"),
        ("sweep.grids.a.x", "1", "–"),
        ("sweep.grids.b.x", "–", "1"),
    ]


def test_only_what_was_trained_differs_not_what_came_out(sweep_dir, other_sweep):
    from analysis.__main__ import fitted

    studies = [
        fitted(load_config("analysis", [f"sweeps=[{d}]", "fit.n_resamples=0"], AnalysisConfig))[1]
        for d in (sweep_dir, other_sweep)
    ]
    assert spec_differences(*studies) == [("lr_peak", "0.01", "0.02")]


def test_where_comparisons_go():
    config = load_config("analysis", ["compare=[x/a,y/b]"], AnalysisConfig)
    assert str(output_directory(config)) == "results/compare-a+b"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["compare=[a]"], "compare has 1 sweeps; expected two"),
        (["compare=[a,b]", "c"], "got sweeps and compare"),
        (["compare=[nowhere,b]"], "nowhere is not a directory"),
    ],
)
def test_a_users_mistake_is_one_line(overrides, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_command(COMMAND, [*overrides, f"out={tmp_path / 'out'}"], "isoflop analyze")
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert message in said and len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
