import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND, analyse, fitted, output_directory
from analysis.config import AnalysisConfig
from analysis.errors import FitError
from analysis.sections.summary import caveats, decision
from analysis.studies.fits_json import fits_json
from train.commands.command_line import run_command, translate
from train.config.cli import load_config

ROOT = Path(__file__).parents[2]
HOFFMANN = "analysis/published/hoffmann2022_figure4.csv"


def config(*overrides):
    return load_config("analysis", translate(COMMAND, overrides).overrides, AnalysisConfig)


def fits_of(*overrides):
    """fits.json's content, by way of JSON, without drawing a report."""
    _, study, advice = fitted(config(*overrides))
    return json.loads(json.dumps(fits_json(study, advice), allow_nan=False))


@pytest.fixture(scope="module")
def analysed(sweep_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("analysis")
    path = analyse(config(str(sweep_dir), f"out={out}", "fit.n_resamples=200"), "the command")
    return path, json.loads((out / "fits.json").read_text())


def test_fits_json_has_the_designs_fields(analysed):
    _, fits = analysed
    assert fits["counting"] == "exact"
    assert (
        fits["n_runs"] + len(fits["excluded"])
        == len({row["run_id"] for row in fits["excluded"]}) + fits["n_runs"]
    )
    for approach in ("envelope", "isoflop", "parametric"):
        assert fits[approach]["status"] == "converged"
        low, high = fits[approach]["intervals"]["a"]
        assert low < fits[approach]["a"] < high
    assert [b["bracketed"] for b in fits["isoflop"]["budgets"]] == [True] * 3
    assert {"E", "A", "B", "alpha", "beta", "G", "objective", "gradient_norm", "delta"} <= set(
        fits["parametric"]
    )
    assert {row["approach"] for row in fits["allocation"]} == {
        "envelope",
        "isoflop",
        "parametric",
        "kaplan",
    }


def test_the_truth_behind_the_runs_lies_in_the_intervals(analysed):
    _, fits = analysed
    truth = {"E": 0.9, "A": 25.0, "B": 140.0, "alpha": 0.35, "beta": 0.4}
    for name, value in truth.items():
        low, high = fits["parametric"]["intervals"][name]
        assert low < value < high


def test_every_excluded_run_is_in_the_report_with_its_reason(analysed):
    path, fits = analysed
    html = path.read_text()
    assert len(fits["excluded"]) == 6
    for row in fits["excluded"]:
        assert row["run_id"] in html
    assert "trained on arithmetic, this fit is of stdlib" in html
    assert "loss is NaN at step 40" in html


def test_the_report_says_what_was_asked_of_it(analysed):
    path, fits = analysed
    html = path.read_text()
    assert "the command" in html
    assert "Prediction of the largest budget, left out" in html
    assert fits["holdout"]["predictions"][0]["rms"] < 0.02
    assert "6nd" in html and "non_embedding" in html
    for name in ("loss_curves", "isoflop", "optimum", "contours", "residuals", "bootstrap"):
        assert (path.parent / "figures" / f"{name}.svg").stat().st_size > 5000
        assert (path.parent / "figures" / f"{name}.png").stat().st_size > 5000


@pytest.mark.parametrize("counting", ["6nd", "non_embedding", "chinchilla"])
def test_other_conventions_fit_too(sweep_dir, counting):
    fits = fits_of(str(sweep_dir), f"counting={counting}", "fit.n_resamples=0")
    assert fits["counting"] == counting
    assert fits["parametric"]["status"] == "converged"
    rows = {row["counting"]: row["a"]["parametric"] for row in fits["countings"]}
    assert rows[counting] == pytest.approx(fits["parametric"]["a"])
    assert len(rows) == 4


@pytest.mark.slow
def test_published_numbers_through_the_front_door(tmp_path):
    command = [sys.executable, "-m", "analysis", HOFFMANN, "fit=besiroglu"]
    done = subprocess.run(
        [*command, f"out={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(str(tmp_path / "report.html"))
    fit = json.loads((tmp_path / "fits.json").read_text())["parametric"]
    assert fit["objective"] == pytest.approx(1.018274018e-3, rel=1e-8)
    assert fit["A"] == pytest.approx(477.83, rel=1e-4)
    errors = {"A": 124.522, "B": 1293.284, "E": 0.02566, "alpha": 0.01540, "beta": 0.02060}
    for name, error in errors.items():
        assert fit["standard_errors"][name] == pytest.approx(error, rel=0.02)


def test_hoffmanns_bug_is_shown_as_such():
    table = str(ROOT / HOFFMANN)
    _, study, _ = fitted(config(table, "fit=hoffmann"))
    assert study.parametric.status == "max_iterations"
    assert "stopped after 2 iterations" in study.parametric.reason
    assert pytest.approx(406.4, rel=1e-3) == study.parametric.A
    assert any("max_iterations" in note for note in caveats(study))


def test_gemstones_and_porian_procedures(sweep_dir):
    table = f"table={ROOT / 'analysis/published/gemstones_hot.csv'}"
    envelope = fits_of(table, "fit=gemstones", "fit.n_resamples=100")["envelope"]
    assert (envelope["a"], envelope["b"]) == pytest.approx((0.499380, 0.480989), abs=5e-7)
    assert envelope["n_points"] == 21
    assert envelope["intervals"]["a"][0] < envelope["a"] < envelope["intervals"]["a"][1]
    fits = fits_of(str(sweep_dir), "fit=porian", "fit.n_resamples=0")
    assert fits["isoflop"]["curve"] == "akima"
    assert fits["isoflop"]["intervals"]["a"][0] < fits["isoflop"]["a"]
    assert fits["envelope"] is None


def test_degenerate_fits_are_shown_and_never_numbers(tmp_path):
    sizes = np.geomspace(1e6, 1e8, 8)
    frame = pd.DataFrame(
        {"n_params": sizes, "n_tokens": 1e17 / sizes, "loss": np.linspace(3, 2, 8)}
    )
    frame.to_csv(tmp_path / "one.csv", index=False)
    path = analyse(config(f"{tmp_path / 'one.csv'}", f"out={tmp_path}"), "")
    fits = json.loads((tmp_path / "fits.json").read_text())
    assert fits["parametric"]["status"] == "degenerate"
    assert fits["parametric"]["alpha"] is None
    assert "do not determine a compute-optimal size" in path.read_text()
    assert "degenerate" in path.read_text()


def test_fewer_runs_than_parameters_say_so(tmp_path):
    frame = pd.DataFrame({"n_params": [1e6, 1e7], "n_tokens": [1e9, 1e8], "loss": [3.0, 2.0]})
    frame.to_csv(tmp_path / "two.csv", index=False)
    _, study, advice = fitted(config(f"{tmp_path / 'two.csv'}"))
    assert "2 runs can't determine 5 parameters" in study.missing["parametric"]
    assert "do not determine" in decision(study, advice)


def test_losses_in_bits_are_suspected(tmp_path):
    frame = pd.read_csv(ROOT / HOFFMANN).iloc[5:]
    frame.loc[frame.index[::10], "loss"] /= np.log(2)
    frame.to_csv(tmp_path / "mixed.csv", index=False)
    fits = fits_of(f"{tmp_path / 'mixed.csv'}", "fit.n_resamples=0")
    assert "24 runs lie a factor of 1.44" in fits["warnings"][0]


@pytest.mark.parametrize("resample", ["seeds", "n_params", "flops_budget"])
def test_resampling_by_seeds_and_clusters(sweep_dir, resample):
    approaches = "fit.approaches=[envelope,parametric]"
    by = f"fit.resample={resample}"
    fits = fits_of(str(sweep_dir), by, approaches, "fit.n_resamples=100")
    assert fits["resample"] == resample
    assert fits["n_resamples"] == 100
    low, high = fits["parametric"]["intervals"]["alpha"]
    assert low < fits["parametric"]["alpha"] < high


def test_what_cannot_be_resampled_says_so(sweep_dir, tmp_path):
    with pytest.raises(FitError, match="no column of the runs"):
        fits_of(str(sweep_dir), "fit.resample=nothing", "fit.n_resamples=100")
    frame = pd.read_csv(ROOT / HOFFMANN).head(60).assign(seed=0)
    frame.to_csv(tmp_path / "one_seed.csv", index=False)
    fits = fits_of(f"{tmp_path / 'one_seed.csv'}", "fit.resample=seeds", "fit.n_resamples=100")
    assert "No bootstrap: no cell ran with two seeds" in " ".join(fits["warnings"])
    assert fits["parametric"]["intervals"]["a"] == fits["parametric"]["intervals_profile"]["a"]


def test_allocation_for_budgets_and_sizes(sweep_dir):
    asked = ("allocation.flops=[1e15]", "allocation.n_params=[1e6]", "fit.n_resamples=100")
    rows = fits_of(str(sweep_dir), *asked)["allocation"]
    parametric = [row for row in rows if row["approach"] == "parametric"]
    assert {round(row["flops"] / 1e15, 9) for row in parametric} >= {1.0}
    assert any(row["n_opt"] == pytest.approx(1e6) for row in parametric)
    assert all(row["n_interval"][0] < row["n_opt"] < row["n_interval"][1] for row in parametric)


def test_where_reports_go():
    assert output_directory(config("results/demo")) == Path("results/demo/analysis")
    assert output_directory(config("a/b.csv")) == Path("results/analysis-b")
    assert output_directory(config("x/a", "y/b")) == Path("results/analysis-a+b")
    assert output_directory(config("a", "out=z")) == Path("z")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "exactly one of the directories of sweeps, a table, and compare=[A,B]; got none"),
        (("a", "table.path=b"), "got sweeps and table"),
        (("a", "b.csv"), "got a, b.csv; expected one table, or sweeps"),
        (("missing.csv",), "missing.csv is not a file"),
        (("nowhere",), "nowhere is not a directory"),
        (("wandb:scaling",), "expected wandb:entity/project"),
        ((HOFFMANN, "counting=7nd"), "counting='7nd' is unknown; expected one of exact"),
        ((HOFFMANN, "counting=non_embedding"), "needs n_params_non_embedding"),
        ((HOFFMANN, "fit=nobody"), "fit=nobody is unknown; expected one of besiroglu"),
        ((HOFFMANN, "fit.delta=-1"), "fit.delta=-1.0 must be >= 0"),
        ((HOFFMANN, "fit.detla=1"), "detla"),
        ((HOFFMANN, "table.columns={loss: Loss}"), "did you mean 'loss'?"),
    ],
)
def test_a_users_mistake_is_one_line_and_a_failing_exit(
    overrides, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        run_command(COMMAND, [*overrides, f"out={tmp_path / 'out'}"], "isoflop analyze")
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""
    assert not (tmp_path / "out").exists()
