import logging

import numpy as np
import pytest

from analysis.config import AnalysisConfig
from analysis.data.run_arrays import FitInput, RunArrays
from analysis.fits.isoflop import IsoflopFit
from analysis.fits.surface import Surface
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.fit_config import FitConfig
from train.config.cli import load_config
from train.config.spec import SpecError

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


def runs(budgets=(1e18, 1e19, 1e20)) -> RunArrays:
    flops = np.repeat(budgets, 6)
    n_params = np.asarray(SURFACE.optimal(flops).n_params) * np.tile(
        np.geomspace(0.25, 4, 6), len(budgets)
    )
    n_tokens = flops / (6 * n_params)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.004, len(flops)))
    loss = np.asarray(SURFACE.loss(n_params, n_tokens)) * noise
    return RunArrays("6nd", n_params, n_tokens, flops, loss, flops, SURFACE.cost)


def isoflop(runs: RunArrays, config: FitConfig) -> IsoflopFit:
    return IsoflopApproach.fitted(FitInput(runs), config).fit


def test_with_half_of_its_minima_lost_the_approach_gives_no_headline():
    made = runs(np.geomspace(1e18, 1e22, 6))
    best = np.asarray(SURFACE.optimal(made.flops).n_params)
    lost = (made.flops > 2e20) & (made.n_params > best)
    whole, cut = (
        IsoflopApproach.fitted(FitInput(one), FitConfig())
        for one in (made, made.take(np.flatnonzero(~lost)))
    )
    assert whole.objections == ()
    assert len(cut.fit.bracketed) == 3
    assert "3 of 6 budgets" in "; ".join(cut.objections)


def test_the_former_name_of_the_curve_counts_and_is_noticed(caplog):
    with caplog.at_level(logging.WARNING):
        config = load_config(
            "analysis", ["table.path=runs.csv", "fit.valley=parabola"], AnalysisConfig
        ).fit
    assert "fit.isoflop_curve" in caplog.text
    assert isoflop(runs(), config).curve == "parabola"
    assert isoflop(runs(), FitConfig()).curve == "softened"
    with pytest.raises(SpecError, match="isoflop_curve"):
        FitConfig(valley="quartic")


def test_noise_and_weights_reach_the_fit():
    own = isoflop(runs(), FitConfig())
    assert isoflop(runs(), FitConfig(noise=0.01)).noise == 0.01
    assert isoflop(runs(), FitConfig(isoflop_weights="equal")).a != pytest.approx(own.a, abs=1e-9)
    with pytest.raises(SpecError, match=r"fit\.noise=2\.0"):
        FitConfig(noise=2.0)
    with pytest.raises(SpecError, match="isoflop_weights"):
        FitConfig(isoflop_weights="none")
