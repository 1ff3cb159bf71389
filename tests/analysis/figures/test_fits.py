import os
import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.data.readers import from_frame
from analysis.figures.comparison import overlay
from analysis.figures.isoflop import _draw_minima, _draw_profile, profiles
from analysis.figures.style import power_label, styled
from analysis.figures.surface import contours
from analysis.fits.isoflop import fit_isoflop
from analysis.fits.surface import Surface
from analysis.studies.fit_config import FitConfig
from analysis.studies.study import run_study

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


def one_of_four_lost():
    budget = np.repeat(np.geomspace(1e18, 1e21, 4), 6)
    best = np.asarray(SURFACE.optimal(budget).n_params)
    n_params = best * np.tile(np.geomspace(0.25, 4, 6), 4)
    kept = (budget < 1e21) | (n_params < best)
    budget, n_params = budget[kept], n_params[kept]
    n_tokens = budget / (6 * n_params)
    return fit_isoflop(budget, n_params, n_tokens, np.asarray(SURFACE.loss(n_params, n_tokens)))


def test_a_budget_without_a_bracketed_minimum_shows_none():
    fit = one_of_four_lost()
    assert [one.bracketed for one in fit.profiles] == [True, True, True, False]
    axes = Figure().subplots()
    colours = {one.flops: (0.0, 0.0, 0.0, 1.0) for one in fit.profiles}
    _draw_minima(axes, fit, colours, "N")
    shown = [
        float(np.asarray(line.get_xdata())[0]) for line in axes.lines if line.get_marker() == "D"
    ]
    assert shown == [one.flops for one in fit.bracketed]


@pytest.mark.parametrize(
    ("column", "unit"),
    [("loss", "nats/token"), ("bits_per_byte", "bits/byte"), ("c4_bpb", "c4_bpb")],
)
def test_axes_name_the_unit_of_the_column_that_is_fitted(column, unit):
    fit = one_of_four_lost()
    runs = pd.DataFrame({
        "n_params": np.concatenate([one.n_params for one in fit.profiles]),
        "flops_budget": np.concatenate([np.full(len(p.losses), p.flops) for p in fit.profiles]),
        "loss": np.concatenate([one.losses for one in fit.profiles]),
    })  # fmt: skip
    runs["n_tokens"] = runs["flops_budget"] / (6 * runs["n_params"])
    config = FitConfig(loss=column, n_resamples=0, approaches=["isoflop", "parametric"])
    study = run_study(from_frame(runs, "made"), config)
    for figure in (profiles(study), contours(study), overlay(["a", "b"], [study, study])):
        labels = [axes.get_ylabel() for axes in figure.axes]
        assert any(label.endswith(f"loss ({unit})") for label in labels), labels
        assert unit == "nats/token" or not any("nats" in label for label in labels)


def test_its_curve_is_dashed_and_bears_no_diamond():
    lost = one_of_four_lost().profiles[-1]
    axes = Figure().subplots()
    names = np.array([f"run {i}" for i in range(len(lost.losses))])
    _draw_profile(axes, lost, (0.0, 0.0, 0.0, 1.0), names)
    assert [line.get_linestyle() for line in axes.lines] == ["--"]
    assert len(axes.collections) == 1  # the runs alone


def test_labels_of_powers_are_rounded_before_the_exponent_is_taken():
    assert power_label(9.9989e10) == "$10^{11}$"
    assert power_label(3e10) == "$3\\times 10^{10}$"


def test_a_minimum_that_nothing_holds_does_not_squeeze_the_others():
    fit = one_of_four_lost()
    first = replace(fit.profiles[0], interval=(1.0, 1e20))
    axes = Figure().subplots()
    colours = {one.flops: (0.0, 0.0, 0.0, 1.0) for one in fit.profiles}
    _draw_minima(axes, replace(fit, profiles=(first, *fit.profiles[1:])), colours, "N")
    optima = [one.n_opt for one in fit.bracketed]
    assert axes.get_ylim() == pytest.approx((min(optima) / 10, max(optima) * 10))


def test_no_setting_of_the_users_matplotlib_reaches_a_figure():
    with mpl.rc_context({"text.usetex": True, "font.family": "no such font"}):
        with styled():
            assert not mpl.rcParams["text.usetex"]
        assert mpl.rcParams["text.usetex"]


@pytest.mark.parametrize("backend", ["inline", "module://matplotlib_inline.backend_inline"])
def test_a_notebooks_backend_stops_nothing(backend):
    code = "import analysis.figures.fits"
    environment = {**os.environ, "MPLBACKEND": backend}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
