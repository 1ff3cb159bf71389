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
from analysis.fits.surface import Surface
from analysis.sections.summary import caveats, decision
from analysis.studies.fits_json import fits_json
from tests.support.published import published_table
from train.commands.command_line import run_command, translate
from train.config.cli import load_config

ROOT = Path(__file__).parents[2]
HOFFMANN = "published:hoffmann2022"
DRAWN = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


def config(*overrides):
    return load_config("analysis", translate(COMMAND, overrides).overrides, AnalysisConfig)


def fits_of(*overrides):
    """fits.json's content, by way of JSON, without drawing a report."""
    _, study, advice = fitted(config(*overrides))
    return json.loads(json.dumps(fits_json(study, advice), allow_nan=False))


@pytest.fixture
def made_csv(tmp_path):
    """Writes a table of runs of a known surface and returns its path."""

    def write(n_runs=60, noise=0.0, surface=DRAWN):
        rng = np.random.default_rng(0)
        n_params = 10 ** rng.uniform(7, 10, n_runs)
        n_tokens = n_params * 10 ** rng.uniform(0, 2.5, n_runs)
        loss = surface.loss(n_params, n_tokens)
        loss = loss * np.exp(rng.normal(0, noise, n_runs))
        path = tmp_path / "made.csv"
        frame = pd.DataFrame({"n_params": n_params, "flops": 6 * n_params * n_tokens, "loss": loss})
        frame.to_csv(path, index=False)
        return path

    return write


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
    published_table("hoffmann2022")
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
    published_table("hoffmann2022")
    _, study, _ = fitted(config(HOFFMANN, "fit=hoffmann"))
    parametric = study.fits["parametric"]
    assert parametric.status == "max_iterations"
    assert "stopped after 2 iterations" in parametric.reason
    assert parametric.parameters["A"] == pytest.approx(406.4, rel=1e-3)
    assert any("max_iterations" in note for note in caveats(study))


def test_a_mean_loss_stops_lbfgs_where_it_starts(made_csv):
    """Hoffmann et al.'s error, on a surface whose truth is known."""
    truth = Surface(1.817, 482.0, 2085.0, 0.348, 0.366)
    table = f"table={made_csv(n_runs=240, noise=0.01, surface=truth)}"
    stopped = fitted(config(table, "fit=hoffmann", "fit.drop_highest=0"))[1].fits["parametric"].fit
    right = fitted(config(table, "fit.n_resamples=0"))[1].fits["parametric"].fit
    assert stopped.status == "max_iterations"
    assert stopped.objective > 1.05 * right.objective / 240


@pytest.mark.parametrize("name", ["vpnls", "takano", "gadre"])
def test_objectives_by_name_reach_fit_intervals_and_json(made_csv, name):
    table = f"table={made_csv(n_runs=60, noise=0.005)}"
    default = fits_of(table, "fit.n_resamples=100")
    fits = fits_of(table, f"fit={name}", "fit.n_resamples=100")
    found, usual = fits["parametric"], default["parametric"]
    assert found["status"] == "converged"
    assert "residuals of the loss itself" in found["objective_is"]
    assert found["alpha"] != usual["alpha"]
    free = "E" if name == "gadre" else "alpha"
    for kind in ("intervals", "intervals_profile"):
        assert found[kind][free] != usual[kind][free]
        assert found[kind][free][0] < found[free] < found[kind][free][1]
    assert found["standard_errors"]["E"] != usual["standard_errors"]["E"]
    if name == "gadre":
        assert found["alpha"] == found["beta"]
        assert found["intervals"]["a"] == pytest.approx([0.5, 0.5], abs=0.02)


def test_the_printed_line_says_what_was_minimised(made_csv, tmp_path, capsys):
    with pytest.raises(SystemExit):
        table = f"table={made_csv(n_runs=60, noise=0.005)}"
        words = [table, "fit=gadre", "fit.n_resamples=0", f"out={tmp_path / 'out'}"]
        run_command(COMMAND, words, "isoflop analyze")
    printed = capsys.readouterr().out
    assert "least squares (sum) of residuals of the loss itself, alpha = beta" in printed
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("least squares (sum) of residuals of the loss itself") >= 2


def test_bits_per_byte_can_be_fitted(made_csv):
    path = made_csv(n_runs=60)
    frame = pd.read_csv(path)
    frame.assign(bits_per_byte=frame["loss"] / 3).to_csv(path, index=False)
    nats, bits = (fits_of(f"table={path}", f"fit.loss={column}", "fit.n_resamples=0")
                  for column in ("loss", "bits_per_byte"))  # fmt: skip
    assert bits["parametric"]["E"] == pytest.approx(nats["parametric"]["E"] / 3, rel=1e-6)
    assert bits["parametric"]["alpha"] == pytest.approx(nats["parametric"]["alpha"], rel=1e-6)
    assert any("bits_per_byte (fit.loss)" in note for note in bits["warnings"])


def test_cs336_has_one_exponent_under_every_approach_that_it_allows():
    published_table("cs336")
    fits = fits_of("published:cs336", "fit.n_resamples=200")
    for approach in ("isoflop", "parametric"):
        low, high = fits[approach]["intervals"]["a"]
        assert low - 1e-6 <= 0.514286 <= high + 1e-6
    assert "no training curves" in fits["envelope"]["reason"]


def test_the_gemstones_procedure():
    published_table("gemstones")
    table = "published:gemstones"
    envelope = fits_of(table, "fit=gemstones", "fit.n_resamples=100")["envelope"]
    assert (envelope["a"], envelope["b"]) == pytest.approx((0.499380, 0.480989), abs=5e-7)
    assert envelope["n_points"] == 21
    assert envelope["intervals"]["a"][0] < envelope["a"] < envelope["intervals"]["a"][1]


def test_the_porian_procedure(sweep_dir):
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


@pytest.mark.parametrize("approaches", ["[parametric]", "[envelope,isoflop,parametric,kaplan]"])
def test_a_table_of_nearly_one_size_is_one_line_and_no_traceback(tmp_path, capsys, approaches):
    sizes = np.repeat([2.1506e9, 2.1552e9, 2.1562e9], 4)
    tokens = np.tile([2e9, 4e9, 8e9, 2e10], 3)
    loss = DRAWN.loss(sizes, tokens) * np.exp(np.random.default_rng(0).normal(0, 0.01, 12))
    frame = pd.DataFrame({"n_params": sizes, "n_tokens": tokens, "loss": loss})
    frame.to_csv(tmp_path / "one.csv", index=False)
    with pytest.raises(SystemExit) as stopped:
        words = [str(tmp_path / "one.csv"), f"fit.approaches={approaches}", "fit.n_resamples=100"]
        run_command(COMMAND, [*words, f"out={tmp_path / 'out'}"], "isoflop analyze")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "the model size does not vary: 2.151e+09 to 2.156e+09" in printed


def test_fewer_runs_than_parameters_say_so(tmp_path):
    frame = pd.DataFrame({"n_params": [1e6, 1e7], "n_tokens": [1e9, 1e8], "loss": [3.0, 2.0]})
    frame.to_csv(tmp_path / "two.csv", index=False)
    _, study, advice = fitted(config(f"{tmp_path / 'two.csv'}"))
    assert "2 runs can't determine 5 parameters" in study.missing["parametric"]
    assert "do not determine" in decision(study, advice)


def test_losses_in_bits_are_suspected(tmp_path, made_csv):
    frame = pd.read_csv(made_csv(n_runs=240, noise=0.01))
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


def test_what_cannot_be_resampled_says_so(sweep_dir, tmp_path, made_csv):
    with pytest.raises(FitError, match="no column of the runs"):
        fits_of(str(sweep_dir), "fit.resample=nothing", "fit.n_resamples=100")
    frame = pd.read_csv(made_csv(n_runs=60, noise=0.01)).assign(seed=0)
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
        (("made.csv", "counting=7nd"), "counting='7nd' is unknown; expected one of exact"),
        (("made.csv", "counting=non_embedding"), "needs n_params_non_embedding"),
        (("made.csv", "fit=nobody"), "fit=nobody is unknown; expected one of besiroglu"),
        (("made.csv", "fit.tied=true", "fit.solver=lbfgs"), "needs fit.solver=newton"),
        (("made.csv", "fit.residual=nats"), "fit.residual='nats' is unknown"),
        (("made.csv", "fit.loss=bpb"), "fit.loss=bpb is no column of the runs"),
        (("made.csv", "fit.delta=-1"), "fit.delta=-1.0 must be >= 0"),
        (("made.csv", "fit.detla=1"), "detla"),
        (("made.csv", "table.columns={loss: Loss}"), "did you mean 'loss'?"),
    ],
)
def test_a_users_mistake_is_one_line_and_a_failing_exit(
    overrides, message, tmp_path, monkeypatch, capsys, made_csv
):
    monkeypatch.chdir(made_csv().parent)
    with pytest.raises(SystemExit) as stopped:
        run_command(COMMAND, [*overrides, f"out={tmp_path / 'out'}"], "isoflop analyze")
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""
    assert not (tmp_path / "out").exists()
