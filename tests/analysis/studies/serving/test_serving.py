"""isoflop allocate inference_tokens=: plans with intervals, prices, and when there are none."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.allocate import COMMAND
from analysis.data.readers import from_frame
from analysis.errors import FitError
from analysis.fits.serving import cheapest_to_serve, size_price
from analysis.fits.surface import Surface
from analysis.studies.fit_config import FitConfig
from analysis.studies.serving.serving import Quality, study_serving
from analysis.studies.study import run_study
from isoflop import cheapest_to_serve as public
from isoflop import fit_parametric
from train.commands.command_line import run_command

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)
CONFIG = FitConfig(n_resamples=200, approaches=["parametric"], cost="6nd")


def frame(noise: float = 0.004) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 5)))
    loss = np.asarray(SURFACE.loss(n, d)) * np.exp(noise * rng.normal(size=len(n)))
    return pd.DataFrame({"n_params": n, "n_tokens": d, "loss": loss})


@pytest.fixture(scope="module")
def study():
    return run_study(from_frame(frame(), "made"), CONFIG)


def test_intervals_hold_the_truth_and_distance_is_stated(study):
    made = study_serving(study, [Quality(flops=1e20), Quality(loss=2.2)], [0.0, 1e12])
    for plan in made.plans:
        truth = cheapest_to_serve(SURFACE, plan.quality.of(SURFACE), plan.inference_tokens)
        for name in ("n_params", "n_tokens", "training_flops", "total_flops"):
            low, high = plan.intervals[name]
            assert low * (1 - 1e-9) <= getattr(truth, name) <= high * (1 + 1e-9), (name, plan)
    none, many = made.plans[:2]
    assert none.saving == pytest.approx(0, abs=1e-9) and many.saving > 0.2
    assert many.n_params < none.n_params and many.beyond["D"] > 1
    for row in made.prices:
        low, high = row.compute_interval
        assert low <= size_price(SURFACE, row.factor).compute <= high


def test_losses_out_of_reach_have_a_reason_instead_of_numbers(study):
    (below, edge) = study_serving(study, [Quality(loss=1.6), Quality(loss=1.7)], [1e12]).plans
    assert np.isnan(below.n_params) and "below the irreducible loss 1.69" in below.reason
    assert np.isnan(edge.intervals["n_params"]).all()
    assert "of the resamples the loss lies below the irreducible loss" in edge.reason


def test_a_law_with_an_objection_is_not_asked():
    bad = frame().assign(loss=np.random.default_rng(0).uniform(2, 6, 30))
    with pytest.raises(FitError, match="no loss surface to ask"):
        study_serving(run_study(from_frame(bad, "made"), CONFIG), [], [1e12])


def test_python_and_the_command_line_agree(tmp_path, capsys):
    frame().to_csv(tmp_path / "runs.csv", index=False)
    words = [str(tmp_path / "runs.csv"), "flops=1e20", "inference_tokens=[1e12]", "loss=2.2",
             "fit.n_resamples=200", "fit.approaches=[parametric]", "fit.cost=6nd",
             f"out={tmp_path / 'out'}"]  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        run_command(COMMAND, words, "isoflop allocate")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "1T tokens served: " in printed and "; an extrapolation, D by " in printed
    serving = json.loads((tmp_path / "out/fits.json").read_text())["serving"]
    fit = fit_parametric(frame(), n_resamples=200, cost="6nd")
    own = public(fit, 1e12, flops=1e20)
    stated, budget = serving["plans"]
    assert stated["loss"] == 2.2
    assert budget["n_params"] == pytest.approx(own.n_params)
    assert budget["intervals"]["n_params"] == pytest.approx(list(own.intervals["n_params"]))
    assert [row["factor"] for row in serving["prices"]][:2] == [0.25, 0.35]
    assert "cheaper to serve" in (tmp_path / "out/report.html").read_text()
    with pytest.raises(FitError, match="give one of loss and flops"):
        public(fit, 1e12)


def test_no_plan_at_all_is_a_failing_exit_with_its_reason(tmp_path, capsys):
    frame().to_csv(tmp_path / "runs.csv", index=False)
    words = [str(tmp_path / "runs.csv"), "fit.n_resamples=0", "fit.approaches=[parametric]",
             f"out={tmp_path / 'out'}"]  # fmt: skip
    for asked, code in (
        (["loss=1.6"], 2),
        (["loss=[1.6,2.2]"], 0),
        (["loss=1.6", "flops=1e20"], 0),
    ):
        with pytest.raises(SystemExit) as stopped:
            run_command(COMMAND, [*words, *asked], "isoflop allocate")
        said = capsys.readouterr()
        assert stopped.value.code == code, asked
        assert ("no plan: the loss lies below the irreducible loss" in said.err) == (code == 2)
        assert "no plan (the loss lies below the irreducible loss" in said.out
    words[2] = "fit.approaches=[isoflop]"
    with pytest.raises(SystemExit, match="2"):
        run_command(COMMAND, [*words, "loss=2.2"], "isoflop allocate")
    assert "no plan: no loss surface to ask" in capsys.readouterr().err


def test_nothing_asked_is_one_line(tmp_path, capsys):
    frame().to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(SystemExit) as stopped:
        run_command(COMMAND, [str(tmp_path / "runs.csv")], "isoflop allocate")
    assert stopped.value.code == 2
    assert "nothing to allocate; give flops=, n_params=" in capsys.readouterr().err
