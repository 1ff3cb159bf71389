import json

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND
from analysis.data.readers import from_frame
from analysis.errors import FitError
from analysis.studies.tuning.optimum import find_optimum
from analysis.studies.tuning.study import is_swept, study_tuning
from benchmarks.coverage_tuning import LAW, simulated
from isoflop import fit_tuning, read_runs
from tests.support.published import published_table
from train.__main__ import COMMAND as TRAIN
from train.commands.command_line import run_command
from train.config.cli import load_config
from train.config.hyperparameters import Scale, hyperparameters, steplaw
from train.config.rules.fitted import laws_of
from train.config.spec import SpecError


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_parabola_s_vertex_is_found_to_the_digit():
    x = np.log(np.geomspace(1e-3, 1.6e-2, 9))[:, None]
    best = find_optimum(x, 0.9 + 0.01 * (x[:, 0] - np.log(5e-3)) ** 2, rng())
    assert best.at == pytest.approx([np.log(5e-3)]) and not best.reason
    assert best.curvature == pytest.approx([0.02]) and best.log_loss == pytest.approx(0.9)
    assert best.intervals[0] == pytest.approx([np.log(5e-3)] * 2, abs=1e-6)


@pytest.mark.parametrize(
    ("centre", "n", "reason"),
    [
        (1e-4, 9, "the best run has the least rate that was tried"),
        (1.0, 9, "the best run has the largest rate that was tried"),
        (5e-3, 3, "3 runs, and a parabola takes 4"),
    ],
)
def test_an_optimum_at_an_edge_is_none(centre, n, reason):
    x = np.log(np.geomspace(1e-3, 1.6e-2, n))[:, None]
    best = find_optimum(x, 0.01 * (x[:, 0] - np.log(centre)) ** 2, rng())
    assert best.reason == reason and np.isnan(best.intervals[0]).all()


def test_known_laws_are_recovered_and_edges_left_out():
    frame = simulated(0.0005, rng())
    first = frame["n_params"] == frame["n_params"].min()
    best = frame.loc[first & (frame["n_tokens"] == frame.loc[first, "n_tokens"].min())]
    frame = frame.drop(best.index[best["lr"] > np.unique(best["lr"])[2]])
    made = study_tuning(from_frame(frame, "runs"))
    edge = [cell for cell in made.cells if cell.reason]
    assert any("largest rate" in cell.reason for cell in edge) and made.batch_in_tokens
    for name, (_, p, q) in LAW.items():
        law = made.laws[name]
        assert law.n_cells == len(made.cells) - len(edge)
        low, high = law.intervals["d_exponent"]
        assert low < q < high and high - low < 0.35
        if name == "lr":
            assert law.intervals["n_exponent"][0] < p < law.intervals["n_exponent"][1]
    # exp(1.2 ln 2) - 1.2 ln 2 - 1 of .006: what twice the best rate costs on this response.
    assert made.wrong_rate == pytest.approx(0.006 * (2**1.2 - 1.2 * np.log(2) - 1), rel=0.5)


def test_sizes_and_lengths_on_one_line_give_a_law_of_one():
    frame = simulated(0.0005, rng())
    frame = frame.loc[np.isclose(frame["n_tokens"], 20 * frame["n_params"])]
    larger = frame.assign(
        n_params=30 * frame["n_params"], n_tokens=30 * frame["n_tokens"],
        lr=30**-0.406 * frame["lr"], batch_tokens=30**0.571 * frame["batch_tokens"],
    )  # fmt: skip
    made = study_tuning(from_frame(pd.concat([frame, larger]), "runs"))
    law = made.laws["lr"]
    assert "cannot be told apart" in law.left_out and law.d_exponent == 0
    assert law.intervals["n_exponent"][0] < -0.713 + 0.307 < law.intervals["n_exponent"][1]


def test_what_was_not_swept_has_no_law():
    frame = simulated(0.0005, rng(), "lr")
    made = study_tuning(from_frame(frame, "runs"))
    assert set(made.laws) == {"lr"}
    few = frame.loc[frame["n_params"] == frame["n_params"].min()]
    assert "a law takes 5" in study_tuning(from_frame(few, "runs")).missing["lr"]
    single = from_frame(frame.groupby(["n_params", "n_tokens"], as_index=False).first(), "runs")
    assert not is_swept(single)
    with pytest.raises(FitError, match="varies within a cell"):
        study_tuning(single)


def test_step_law_s_exponents_lie_within_the_intervals():
    published_table("steplaw")
    made = fit_tuning("published:steplaw")
    lr, batch = made.laws["lr"].intervals, made.laws["batch"].intervals
    assert lr["n_exponent"][0] < -0.713 < lr["n_exponent"][1]
    assert lr["d_exponent"][0] < 0.307 < lr["d_exponent"][1]
    assert batch["d_exponent"][0] < 0.571 < batch["d_exponent"][1] and made.batch_in_tokens
    # Its laws within what was swept: the published ones to 15 %.
    own = steplaw(Scale(429260800, 2e10, 1280, 10))
    assert made.laws["lr"](429260800, 2e10) == pytest.approx(own.lr_peak, rel=0.15)
    assert made.laws["batch"](429260800, 2e10) == pytest.approx(own.batch_tokens, rel=0.15)


def test_the_report_s_laws_are_a_rule_for_runs(tmp_path, monkeypatch, capsys):
    frame = simulated(0.0005, rng())
    frame.to_csv(tmp_path / "tuning.csv", index=False)
    out = tmp_path / "tuned"
    few = ["fit.approaches=[parametric]", "fit.n_resamples=0", f"out={out}"]
    with pytest.raises(SystemExit, match="0"):
        run_command(COMMAND, [str(tmp_path / "tuning.csv"), *few], "isoflop analyze")
    assert "The best learning rate is" in capsys.readouterr().out
    assert "Learning rate and batch" in (out / "report.html").read_text()
    written = json.loads((out / "fits.json").read_text())["tuning"]
    words = [f"optim.rule=fitted:{out}", "horizon.n_tokens=4e9"]
    config = load_config("train", words, TRAIN.config)
    rule = config.optim.rule
    assert rule == laws_of(out) and str(out) not in rule, "a stored spec needs no report"
    made = hyperparameters(rule, Scale(10**8, 4e9, 512, 8))
    lr, batch = written["lr"], written["batch"]
    assert made.lr_peak == pytest.approx(
        lr["coefficient"] * 1e8 ** lr["n_exponent"] * 4e9 ** lr["d_exponent"], rel=1e-3
    )
    assert made.batch_tokens == pytest.approx(
        batch["coefficient"] * 4e9 ** batch["d_exponent"], rel=1e-3
    )


def test_a_rule_that_is_none_says_why(tmp_path):
    scale = Scale(10**6, 1e7, 64, 2)
    with pytest.raises(SpecError, match="there; fit it first"):
        laws_of(tmp_path)
    (tmp_path / "fits.json").write_text("{}")
    with pytest.raises(SpecError, match="holds no tuning"):
        laws_of(tmp_path)
    missing = {"missing": {"lr": "2 of 9 cells"}, "batch_in_tokens": True}
    (tmp_path / "fits.json").write_text(json.dumps({"tuning": missing}))
    with pytest.raises(SpecError, match="no law of the learning rate: 2 of 9 cells"):
        laws_of(tmp_path)
    with pytest.raises(SpecError, match="no law of the learning rate; expected"):
        hyperparameters("laws:batch=2*D^0.5", scale)
    with pytest.raises(SpecError, match="is no law; expected"):
        hyperparameters("laws:lr=2*x^0.5", scale)
    assert hyperparameters("laws:lr=1*N^-0.5", scale).lr_peak == pytest.approx(1e-3)
    assert read_runs({"n_params": [1e6], "n_tokens": [1e7], "loss": [3.0]}) is not None
