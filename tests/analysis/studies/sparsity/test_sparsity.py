"""Sparsity as a third variable: the law on a known surface, and approach 2 by level."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND
from analysis.errors import FitError
from analysis.fits.forms.sparse import fit_sparse
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
    assert "FLOPs: sparsity 0.9, best of the levels trained in" in capsys.readouterr().out
    stored = json.loads((tmp_path / "law" / "fits.json").read_text())["sparsity"]
    assert stored["column"] == "sparsity" and len(stored["levels"]) == 2 * len(LEVELS)
    assert "Sparsity of experts" in (tmp_path / "law" / "report.html").read_text()
    by = [*base, "fit.by=sparsity", f"out={tmp_path / 'by'}"]
    with pytest.raises(SystemExit, match="0"):
        run_command(COMMAND, by, "isoflop analyze")
    assert capsys.readouterr().out.count("sparsity") >= len(LEVELS)
