"""From a fitted sweep's directory to the sweep that tests its fit; nothing is trained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from analysis.__main__ import analyse
from analysis.config import AnalysisConfig
from analysis.errors import FitError
from analysis.stored_fits import read_fits
from sweeps.__main__ import main
from sweeps.design.predict import PredictionError
from sweeps.design.validate import from_fit
from sweeps.launch.launch import write_sweep
from sweeps.plan.plan import make_plan
from sweeps.spec.config import SweepConfig
from tests.support.sweep_fixtures import finish
from train.config.cli import config_as_yaml, config_from_yaml, config_text, load_config
from train.config.resolve import DataInfo
from train.config.run_config import job_to_json
from train.config.spec import IsoflopError
from train.rundir.atomic import write_json
from train.rundir.record import read_job
from train.rundir.sweep_layout import run_dirs

FITTED = [
    "sweep=isoflop",
    "data=text",
    "sweep.grids.isoflop.d_models=[8,16]",
    "sweep.grids.isoflop.budgets=[1e9,2e9]",
    "+sweep.grids.isoflop.base.schedule.final_fraction=0.05",
    "model.seq_len=32",
    "optim.batch_tokens=512",
    "data.val_tokens=4096",
    "calibrate=false",
]
FITS = {
    "counting": "exact",
    "cost": {"k": 6.0, "gamma": 1.0},
    "fitted": {"flops": [1e9, 2e9]},
    "preferred_approach": "isoflop",
    "excluded": [],
    "isoflop": {"a": 0.5, "n_coefficient": 0.12, "status": "converged", "reason": ""},
}


def composed(*overrides: str) -> SweepConfig:
    return load_config("sweep", list(overrides), SweepConfig)


@pytest.fixture
def fitted(tmp_path: Path) -> Path:
    """A finished sweep on 400,000 bytes of text with the fits of its one grid."""
    root, text = tmp_path / "fitted", tmp_path / "text.txt"
    text.write_text("".join(f"{i} times {i + 7} is {i * (i + 7)}.\n" for i in range(17_000)))
    given = [*FITTED, f"data.parts.text.options.files=[{text}]", f"out={root}"]
    config = composed(*given)
    write_sweep(make_plan(config), config, config_text("sweep", given), given)
    for run_dir in run_dirs(root):
        finish(run_dir, read_job(run_dir))
    write_fits(root, sources=[str(root)])
    return root


def write_fits(root: Path, **changes) -> None:
    (root / "analysis").mkdir(exist_ok=True)
    (root / "analysis" / "fits.json").write_text(json.dumps({**FITS, **changes}))


def settled(out: Path, fit: Path, *overrides: str) -> SweepConfig | None:
    given = ["preset=validate", f"fit={fit}", f"out={out}", "calibrate=false", *overrides]
    return from_fit(composed(*given), given, Console(quiet=True))


def test_two_cells_of_equal_cost_on_the_base_of_the_fitted_grid(fitted, tmp_path):
    config = settled(tmp_path / "test", fitted)
    assert config is not None
    runs = make_plan(config).runs
    assert [run.job.grid for run in runs] == ["optimum"] * 3 + ["alternative"] * 3
    assert [run.job.spec.seed for run in runs] == [0, 1, 2] * 2
    theirs = read_job(run_dirs(fitted)[0]).spec
    for run in runs:
        spec = run.job.spec
        assert run.flops == pytest.approx(8e9, rel=0.02)
        assert spec.data == theirs.data
        assert spec.schedule.final_fraction == 0.05
        assert spec.model.seq_len == 32
        assert spec.optim.batch_tokens == 512
    assert 2 < runs[-1].n_params / runs[0].n_params < 8


def test_a_test_has_the_head_size_of_the_ladder_that_was_fitted(fitted, tmp_path):
    """Widths 8 and 16 share heads of 8; by width alone they have heads of 4 and 8."""
    config = settled(tmp_path / "test", fitted)
    assert config is not None and config.model.head_dim == 8
    models = [run.job.spec.model for run in make_plan(config).runs]
    assert len({model.d_model for model in models}) == 2
    assert {model.d_model // model.n_heads for model in models} == {8}


def test_a_fit_of_an_earlier_release_is_tested_with_the_heads_of_each_width(fitted, tmp_path):
    stored = fitted / "sweep.yaml"
    text = stored.read_text()
    assert "head_rule: ladder" in text
    stored.write_text(text.replace("  head_rule: ladder\n", ""))
    config = settled(tmp_path / "test", fitted)
    assert config is not None
    assert (config.model.head_dim, config.sweep.head_rule) == (None, "width")


def test_the_prediction_is_written_before_anything_is_trained(fitted, tmp_path):
    out = tmp_path / "test"
    settled(out, fitted)
    content = json.loads((out / "validation.json").read_text())
    assert content["flops"] == 8e9
    assert content["optimum"]["n_params"] == pytest.approx(0.12 * 8e9**0.5)
    assert content["sweeps"] == [str(fitted)]
    assert content["fit_sha256"] == read_fits(fitted).sha256


def test_no_prediction_is_made_after_its_answer(fitted, tmp_path):
    out = tmp_path / "test"
    config = settled(out, fitted)
    assert config is not None
    write_sweep(make_plan(config), config, config_as_yaml(config), [])
    settled(out, fitted, "validate.budget_factor=5")  # nothing is trained yet
    settled(out, fitted)
    first = run_dirs(out)[0]
    finish(first, read_job(first))
    settled(out, fitted)  # the same again
    with pytest.raises(PredictionError, match=r"after its answer"):
        settled(out, fitted, "validate.budget_factor=5")
    assert json.loads((out / "validation.json").read_text())["flops"] == 8e9


def test_a_plan_writes_nothing(fitted, tmp_path):
    assert settled(tmp_path / "test", fitted, "action=plan") is not None
    assert not (tmp_path / "test").exists()


def test_the_written_sweep_can_be_read_back(fitted, tmp_path):
    config = settled(tmp_path / "test", fitted)
    assert config is not None
    assert config_from_yaml(config_as_yaml(config), SweepConfig) == config


@pytest.mark.parametrize("where", ["", "analysis", "analysis/fits.json"])
def test_a_fit_is_found_by_sweep_directory_or_file(fitted, where):
    assert read_fits(fitted / where).sweeps == (fitted,)


def test_a_sweep_that_moved_since_it_was_fitted_is_still_its_fits_own(fitted, tmp_path):
    moved = fitted.rename(tmp_path / "moved")
    assert read_fits(moved).sweeps == (moved,)


def test_a_foreign_table_is_predicted_from_and_not_launched(tmp_path):
    write_fits(tmp_path, sources=["runs.csv"])
    assert settled(tmp_path / "test", tmp_path, "action=plan") is None
    with pytest.raises(PredictionError, match=r"fitted to runs\.csv.*not launched"):
        settled(tmp_path / "test", tmp_path)
    assert not (tmp_path / "test").exists()


@pytest.mark.parametrize("own", ["data=text", "model.seq_len=64", "optim=olmo", "sweep=grid"])
def test_what_the_fitted_sweep_decides_is_not_overridden_in_silence(fitted, tmp_path, own):
    with pytest.raises(PredictionError, match="trains as the fitted sweep did"):
        settled(tmp_path / "test", fitted, own)


def test_more_tokens_than_the_source_holds_are_refused(fitted, tmp_path):
    with pytest.raises(PredictionError, match=r"optimum can't be trained.*epochs.*budget"):
        settled(tmp_path / "test", fitted, "validate.budget=1e12")


def test_other_data_than_the_fitted_runs_is_refused_unless_forced(fitted, tmp_path, monkeypatch):
    def other(data, seq_len):
        from train.data.dataset import describe

        return replace(describe(data, seq_len), fingerprint="0" * 16)

    monkeypatch.setattr("sweeps.plan.data_info.describe", other)
    with pytest.raises(PredictionError, match="losses would not compare"):
        settled(tmp_path / "test", fitted)
    assert settled(tmp_path / "test", fitted, "force=true") is not None


def test_a_grid_that_sweep_yaml_no_longer_describes_is_named(fitted, tmp_path):
    text = (fitted / "sweep.yaml").read_text()
    (fitted / "sweep.yaml").write_text(text.replace("    isoflop:", "    renamed:"))
    with pytest.raises(PredictionError, match=r"grid 'isoflop', which its sweep\.yaml no longer"):
        settled(tmp_path / "test", fitted)


def test_a_stored_sweep_of_another_release_is_one_clear_error(fitted, tmp_path):
    with (fitted / "sweep.yaml").open("a") as file:
        file.write("phlogiston: 1\n")
    with pytest.raises(IsoflopError, match="phlogiston"):
        settled(tmp_path / "test", fitted)


def test_fitted_grids_of_different_bases_have_no_common_one(fitted, tmp_path):
    first = run_dirs(fitted)[0]
    job = replace(read_job(first), grid="hot")
    write_json(first / "spec.json", job_to_json(job))
    config = config_from_yaml((fitted / "sweep.yaml").read_text(), SweepConfig)
    hot = replace(config.sweep.grids["isoflop"], base={"schedule": {"final_fraction": 0.5}})
    grids = {**config.sweep.grids, "hot": hot}
    changed = replace(config, sweep=replace(config.sweep, grids=grids))
    (fitted / "sweep.yaml").write_text(config_as_yaml(changed))
    with pytest.raises(PredictionError, match="share no one base"):
        settled(tmp_path / "test", fitted)


def test_a_fit_that_is_not_there_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FitError, match="isoflop analyze "):
        settled(tmp_path / "test", tmp_path / "nowhere")
    with pytest.raises(PredictionError, match="isoflop sweep validate"):
        from_fit(composed("preset=validate"), [], Console(quiet=True))
    with pytest.raises(PredictionError, match="belongs to preset=validate"):
        from_fit(composed("fit=results/demo"), [], Console(quiet=True))


@pytest.mark.slow
def test_the_chain_of_fit_and_test_on_simulated_losses(tmp_path, monkeypatch):
    def facts(data, seq_len):
        return DataInfo("f" * 16, 257, dict.fromkeys(data.parts, 10**9))

    monkeypatch.setattr("sweeps.plan.data_info.describe", facts)
    monkeypatch.chdir(tmp_path)
    drawn = ["launcher=simulate", "sweep.surface=besiroglu"]

    def front(*given: str) -> int:
        return main(composed(*given), list(given))

    def report(sweep: str) -> Path:
        given = [f"sweeps=[{sweep}]", "fit.n_resamples=100"]
        return analyse(load_config("analysis", given, AnalysisConfig), "command").parent

    assert front("preset=demo", *drawn, "out=fitted") == 0
    report("fitted")
    with pytest.raises(PredictionError, match="was simulated"):
        front("preset=validate", "fit=fitted", "calibrate=false", "out=trained")
    assert front("preset=validate", "fit=fitted", *drawn, "out=test") == 0
    (made,) = json.loads((report("test") / "validation.json").read_text())
    assert made["winner"] == "optimum"
    assert {f["law"] for f in made["forecasts"]} >= {"parametric", "isoflop"}
    assert all(abs(f["loss"] / f["measured"] - 1) < 0.05 for f in made["forecasts"]
               if f["law"] == "parametric")  # fmt: skip


def test_another_counting_is_refused(fitted, tmp_path):
    write_fits(fitted, sources=[str(fitted)], counting="6nd")
    with pytest.raises(PredictionError, match="counting=exact"):
        settled(tmp_path / "test", fitted)
