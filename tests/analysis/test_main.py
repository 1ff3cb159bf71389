"""From a configuration to fits.json and the report, and a user's mistakes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND, analyse, output_directory
from tests.support.analyses import DRAWN, config, fits_of
from train.commands.command_line import run_command


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


def test_the_printed_line_says_what_was_minimised(made_csv, tmp_path, capsys):
    with pytest.raises(SystemExit):
        table = f"table={made_csv(n_runs=60, noise=0.005)}"
        words = [table, "fit=gadre", "fit.n_resamples=0", f"out={tmp_path / 'out'}"]
        run_command(COMMAND, words, "isoflop analyze")
    printed = capsys.readouterr().out
    assert "least squares (sum) of residuals of the loss itself, alpha = beta" in printed
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("least squares (sum) of residuals of the loss itself") >= 2


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
