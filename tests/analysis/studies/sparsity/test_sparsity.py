"""Sparsity as a third variable: the law on a known surface, and approach 2 by level."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND
from analysis.errors import FitError
from analysis.fits.forms.sparse import SparseFit, _law, _theta, fit_sparse
from analysis.fits.parametric.huber import LogRuns
from analysis.studies.sparsity.study import _objections
from benchmarks.coverage_sparsity import LAW, LEVELS, truth
from benchmarks.coverage_sparsity import runs as simulated
from isoflop import fit_sparsity
from train.commands.command_line import run_command


def runs(noise: float = 0.0, seed: int = 0) -> pd.DataFrame:
    return simulated(noise, np.random.default_rng(seed))


def test_the_law_is_recovered_from_runs_without_noise():
    frame = runs()
    n, d, s, loss = frame[["n_params", "n_tokens", "sparsity", "loss"]].to_numpy().T
    fit = fit_sparse(n, d, s, loss)
    assert fit.rms < 1e-6 and fit.at_bound == ()
    for name, value in vars(LAW).items():
        assert getattr(fit.law, name) == pytest.approx(value, rel=1e-3), name


def test_a_search_from_a_known_law_starts_at_that_law():
    frame = runs()
    centred = LogRuns.of(*frame[["n_params", "n_tokens", "loss"]].to_numpy().T)
    again = _law(_theta(LAW, centred), centred)
    assert vars(again) == pytest.approx(vars(LAW), rel=1e-9)


def test_intervals_hold_losses_and_sizes_at_and_beyond_the_largest_budget():
    held = []
    for seed in range(2):
        made = fit_sparsity(runs(0.004, seed), n_resamples=50)
        assert made.objections == () and made.budgets == pytest.approx([1e20, 1e21])
        for one in made.levels:
            size, loss = truth(one.flops, one.sparsity)
            held.append(one.n_interval[0] <= size <= one.n_interval[1])
            held.append(one.loss_interval[0] <= loss <= one.loss_interval[1])
            assert ("C" in one.beyond) == (one.flops > 5e20)
        assert made.best(made.budgets[0]).sparsity == 0.9
    assert sum(held) >= 0.8 * len(held)


def test_sparsity_is_read_from_experts_or_from_active_parameters():
    frame = runs()
    counted = frame.assign(n_experts=20, experts_per_token=(20 * (1 - frame.sparsity)).round())
    named = fit_sparsity(counted.drop(columns="sparsity"), n_resamples=0)
    assert named.column == "experts_per_token / n_experts"
    active = fit_sparsity(frame.drop(columns="sparsity"), n_resamples=0)
    assert active.column == "n_params_active / n_params"
    assert named.fit.law.loss(1e9, 1e10, 0.5) == pytest.approx(active.fit.law.loss(1e9, 1e10, 0.5))


def test_levels_are_compared_by_their_losses_in_the_same_resamples():
    made = fit_sparsity(runs(0.004), n_resamples=20)
    first = made.budgets[0]
    by_loss = sorted((one for one in made.levels if one.flops == first), key=lambda one: one.loss)
    assert by_loss[0] is made.best(first)
    assert made.best_share[first] == 1.0, "the sparsest wins by more than the noise"
    few = runs().drop(index=runs().index[runs().sparsity == 0.9][2:])
    kept = {one.sparsity for one in fit_sparsity(few, n_resamples=0).levels}
    assert kept == {0.0, 0.5, 0.75}, "two runs are no level to advise"


def test_a_token_costs_by_the_active_parameters_where_they_are_named():
    """Attention is never skipped, so that active parameters are more than 1 - sparsity of all."""
    frame = runs()
    dense = frame.assign(n_params_active=frame.n_params_active * 1.25)
    (own,) = (one for one in fit_sparsity(dense, [1e20], n_resamples=0).levels
              if one.sparsity == 0.5)  # fmt: skip
    assert own.n_active == pytest.approx(1.25 * 0.5 * own.n_params)
    assert 6 * own.n_active * own.n_tokens == pytest.approx(1e20)


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_an_exponent_at_its_bound_is_an_objection(name):
    assert _objections(SparseFit(LAW, 0.001, (name,))) == (
        f"{name} ended at a bound, so the runs do not determine the law",
    )
    assert _objections(SparseFit(LAW, 0.001, ("gamma",))) == ()


def test_tables_that_determine_no_law_say_why():
    frame = runs()
    with pytest.raises(FitError, match="fewer than three values"):
        fit_sparsity(frame.loc[frame.sparsity < 0.6])
    with pytest.raises(FitError, match="no column says how sparse a run is"):
        fit_sparsity(frame.drop(columns=["sparsity", "n_params_active"]))
    with pytest.raises(FitError, match="takes at least 12"):
        fit_sparsity(frame.iloc[::10])
    noise = np.random.default_rng(0).uniform(0.8, 1.2, len(frame))
    wild = fit_sparsity(frame.assign(loss=frame.loss * noise), n_resamples=0)
    assert "misses its runs by" in wild.objections[0]


def test_the_report_has_the_law_and_approach_2_by_level(tmp_path, capsys):
    runs(0.002).to_csv(tmp_path / "moe.csv", index=False)
    base = [str(tmp_path / "moe.csv"), "fit.n_resamples=100", "fit.approaches=[isoflop]"]
    with pytest.raises(SystemExit, match="0"):
        run_command(COMMAND, [*base, f"out={tmp_path / 'law'}"], "isoflop analyze")
    printed = capsys.readouterr().out
    assert "FLOPs: sparsity 0.9, best of the levels trained in" in printed
    assert "Runs of 4 levels of sparsity (sparsity) are fitted as one surface" in printed
    stored = json.loads((tmp_path / "law" / "fits.json").read_text())["sparsity"]
    assert stored["column"] == "sparsity" and len(stored["levels"]) == 2 * len(LEVELS)
    assert "Sparsity of experts" in (tmp_path / "law" / "report.html").read_text()
    by = [*base, "fit.by=sparsity", f"out={tmp_path / 'by'}"]
    with pytest.raises(SystemExit, match="0"):
        run_command(COMMAND, by, "isoflop analyze")
    assert capsys.readouterr().out.count("sparsity") >= len(LEVELS)
