"""The interval of a fit to the best run of each cell knows that it was the best of many."""

import numpy as np

from analysis.data.loss_table import select
from analysis.data.readers import from_frame
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.study import run_study
from benchmarks.coverage_best_of import SURFACE, sweep

CONFIG = FitConfig(approaches=["parametric"], n_resamples=100)


def test_the_draws_lie_where_the_settings_lose_on_average_and_the_point_where_the_best_do():
    table = select(from_frame(sweep(0.005, np.random.default_rng(4)), "made"))
    study = run_study(table, CONFIG)
    fit = study.find(ParametricApproach)
    assert fit is not None and fit.data.best_of is not None
    best_of = fit.data.best_of
    assert len(best_of.bias) == len(table) == 20
    point, (low, high) = fit.loss(4.5e8, 2e10)
    truth = float(SURFACE.loss(4.5e8, 2e10))
    assert point < low < truth < high
    assert "between repeats, a single run by" in " ".join(study.table.warnings)
    quality = fit.quality
    assert quality is not None and quality.seed_noise is not None
    assert quality.seed_noise < 0.8 * best_of.noise
    assert quality.lack_of_fit is not None and quality.lack_of_fit > 1e-3


def test_a_law_that_misses_its_cells_by_more_than_the_best_varies_is_said_to():
    frame = sweep(0.001, np.random.default_rng(4))
    frame["loss"] *= np.where(frame["n_params"] > 1e9, 1.02, 1.0)
    study = run_study(select(from_frame(frame, "made")), CONFIG)
    fit = study.find(ParametricApproach)
    assert fit is not None and fit.quality is not None and fit.quality.lack_of_fit is not None
    assert fit.quality.lack_of_fit < 1e-6
