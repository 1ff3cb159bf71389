"""The rolling hold-out: groups, errors by step and distance, and honest averages."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND
from analysis.data.cost_law import SIX_ND
from analysis.data.loss_table import select
from analysis.data.readers import read_file
from analysis.data.run_arrays import FitInput, RunArrays
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.studies.approaches.fit_all import fit_input
from analysis.studies.fit_config import FitConfig
from analysis.studies.forms.averaging import AVERAGE, CHOSEN, combined, seen_before, weights
from analysis.studies.forms.candidates import Candidate, candidates
from analysis.studies.forms.rolling import groups, roll
from analysis.studies.forms.study import USUAL, compare_forms
from analysis.studies.questions.prediction import Point
from tests.support.published import published_file
from train.commands.command_line import run_command

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


def data(noise: float = 0.003, budgets: int = 5) -> FitInput:
    rng = np.random.default_rng(0)
    budget = np.repeat(np.geomspace(1e18, 1e21, budgets), 7)
    n = np.asarray(SURFACE.optimal(budget).n_params) * np.tile(np.geomspace(0.2, 5, 7), budgets)
    d = budget / (6 * n)
    loss = np.asarray(SURFACE.loss(n, d)) * np.exp(noise * rng.normal(size=len(n)))
    return FitInput(RunArrays("exact", n, d, budget, loss, budget, SIX_ND))


def test_on_a_surface_of_its_own_the_additive_form_errs_by_the_noise_of_a_run():
    made = compare_forms(data(), FitConfig())
    usual = made.find(USUAL)
    assert len(made.rolling.cuts) == 3 and len(usual.steps) == 3
    assert usual.following == pytest.approx(0.003, rel=0.5)
    kaplan = made.find("kaplan, Huber, log")
    assert kaplan.following > 2 * usual.following
    assert usual.weight > 4 * kaplan.weight
    assert made.find(AVERAGE).following < kaplan.following
    assert sum(np.nan_to_num(row.weight) for row in made.rows) == pytest.approx(1)


def test_no_candidate_sees_what_it_is_judged_by():
    runs, seen = data(), []

    def fit(held: FitInput):
        seen.append(held.runs.flops.max())
        return lambda other: np.full(len(other), 3.0)

    made = roll(runs, [Candidate("mean", "none", fit)])
    assert sorted(seen) == pytest.approx(sorted(made.cuts))
    for k, cut in enumerate(made.cuts):
        judged = np.isfinite(made.errors[0, k])
        assert (runs.runs.flops[judged] > cut).all() and judged.sum() == 7 * (3 - k)
        assert made.distance[k][judged].min() == pytest.approx(1000 ** (1 / 4), rel=1e-6)


def test_averages_know_earlier_steps_alone():
    runs = data()

    def drifting(first: float, then: float):
        """Right by `first` until the last step, then by `then`."""

        def fit(held: FitInput):
            error = then if held.runs.flops.max() > 1e20 else first
            return lambda other: other.runs.loss * np.exp(error)

        return fit

    made = roll(runs, [Candidate("good", "at first", drifting(0.01, 0.5)),
                       Candidate("good", "at last", drifting(0.1, 0.001))])  # fmt: skip
    both = combined(made)
    assert seen_before(made, 0).shape == (2, 0) and np.isnan(both[CHOSEN][0]).all()
    last = np.isfinite(made.distance[-1])
    assert both[CHOSEN][-1][last] == pytest.approx(0.5)
    share = weights(np.array([[0.01], [0.1]]))
    assert share == pytest.approx([100 / 101, 1 / 101])
    assert both[AVERAGE][-1][last] == pytest.approx(share @ [0.5, 0.001])
    assert both[AVERAGE][0][np.isfinite(made.distance[0])] == pytest.approx(0.055)


def test_a_form_without_a_prediction_says_why_and_has_no_weight():
    runs = data()

    def fit(held: FitInput):
        raise FitError("not today")

    made = roll(runs, [*candidates(runs, FitConfig())[:1], Candidate("no", "form", fit)])
    assert made.reasons == {"no, form": "not today (3 of 3 steps)"}
    assert made.complete.tolist() == [True, False]
    assert np.isfinite(combined(made)[AVERAGE][0][made.next[0]]).all()


def test_groups_are_budgets_or_sizes_and_many_of_them_are_joined():
    runs = data(budgets=15).runs
    assert len(np.unique(groups(runs))) == 8
    assert len(np.unique(groups(data().runs))) == 5
    assert groups(runs, "n_params")[runs.n_params.argmax()] == 7
    with pytest.raises(FitError, match=r"2 group\(s\) of flops; a rolling hold-out needs 3"):
        groups(data(budgets=2).runs)
    with pytest.raises(FitError, match=r"forms.by=colour is unknown"):
        groups(runs, "colour")


def test_the_digitised_runs_of_hoffmann_et_al():
    table = select(read_file(published_file("hoffmann2022_figure4.csv")), drop_highest=5)
    made = compare_forms(fit_input(table, "exact", FitConfig()), FitConfig())
    assert made.find(USUAL).following == pytest.approx(0.0082, abs=0.0002)
    assert made.find(AVERAGE).following == pytest.approx(0.0075, abs=0.0002)
    assert made.find(CHOSEN).following == pytest.approx(0.0071, abs=0.0002)
    assert made.best.name == "tied, Huber, log"
    assert made.find("kaplan, Huber, log").following > 0.015


def test_repeated_data_brings_its_own_law():
    table = read_file(published_file("datablations.csv"))
    found = candidates(fit_input(table, "exact", FitConfig()), FitConfig())
    assert found[-1].name == "data-constrained, Huber, log"


def test_points_get_all_forms_their_average_and_the_error_at_their_distance():
    points = [Point(1e10, 2e11), Point(1e13, 1e15)]
    made = compare_forms(data(), FitConfig(), points=points)
    near, far = made.predictions
    truth = float(SURFACE.loss(1e10, 2e11))
    assert near.average == pytest.approx(truth, rel=0.03)
    assert min(near.losses.values()) < near.average < max(near.losses.values())
    assert near.factor == pytest.approx(6 * 1e10 * 2e11 / 1e21) and near.error > 0
    assert np.isnan(far.error)


def test_the_command_line_adds_a_section(tmp_path, capsys):
    runs = data().runs
    frame = pd.DataFrame({"n_params": runs.n_params, "n_tokens": runs.n_tokens,
                          "flops_budget": runs.budget, "loss": runs.loss})  # fmt: skip
    frame.to_csv(tmp_path / "runs.csv", index=False)
    words = [str(tmp_path / "runs.csv"), "forms.by=flops", "predict.n_params=[1e10]",
             "predict.n_tokens=[2e11]", "fit.n_resamples=0", "fit.approaches=[parametric]",
             f"out={tmp_path / 'out'}"]  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        run_command(COMMAND, words, "isoflop analyze")
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "forms: Runs of the next group up, left out, are predicted over " in said
    assert "steps after the first to (rms): additive, Huber, log 0." in said
    assert "10B on 200B tokens, average of forms: loss " in said
    forms = json.loads((tmp_path / "out/fits.json").read_text())["forms"]
    assert len(forms["cuts"]) == 3 and len(forms["errors"]) == 22
    assert "Which form of the law predicts best" in (tmp_path / "out/report.html").read_text()
