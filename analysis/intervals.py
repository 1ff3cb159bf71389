"""Bootstrap intervals of each approach from one way of resampling the runs."""

import os

import numpy as np
import pandas as pd

from analysis.bootstrap import (
    Interval,
    percentile_interval,
    resample_counts,
    seed_counts,
    stratified_counts,
)
from analysis.config import FitConfig
from analysis.envelope import (
    CurveGrid,
    Curves,
    bin_edges,
    exponents,
    fit_envelope,
    lower_hull,
)
from analysis.isoflop import IsoflopFit, minima
from analysis.parametric import ParametricFit, refit
from analysis.surface import PARAMETERS, FitError, Surface

MOST_CELLS = 2_000_000
"""Resamples times runs of a bootstrap; larger tables take fewer resamples, which the report
states.
"""


def n_resamples(config: FitConfig, n_runs: int) -> int:
    """How many resamples are drawn: as asked, or fewer (at least 200) for very many runs."""
    return min(config.n_resamples, max(200, MOST_CELLS // n_runs))


def counts(frame: pd.DataFrame, config: FitConfig, n_draws: int) -> np.ndarray:
    """Resamples of the rows of a table of runs as the configuration asks, (draws, runs).

    `fit.resample` is runs, seeds, or the name of a column whose equal values are drawn together.
    Raises:  FitError: no such column, or nothing to vary.
    """
    rng = np.random.default_rng(config.seed)
    if config.draws == "legacy":
        legacy = np.random.RandomState(config.seed)
        rows = [legacy.choice(len(frame), len(frame)) for _ in range(n_draws)]
        return np.stack([np.bincount(row, minlength=len(frame)) for row in rows]).astype(float)
    if config.resample == "runs":
        return resample_counts(len(frame), n_draws, rng)
    if config.resample == "seeds":
        if "seed" not in frame:
            raise FitError("fit.resample=seeds needs a column seed; use fit.resample=runs")
        cells = frame.groupby(["n_params", "n_tokens"]).ngroup().to_numpy()
        return seed_counts(cells, frame["seed"].to_numpy(), n_draws, rng)
    if config.resample not in frame:
        raise FitError(
            f"fit.resample={config.resample} is no column of the runs; use runs, seeds, or one of "
            f"{', '.join(map(str, frame.columns))}"
        )
    return resample_counts(len(frame), n_draws, rng, frame[config.resample].to_numpy())


def parametric_draws(fit: ParametricFit, weights: np.ndarray) -> Surface:
    """The surfaces of all resamples, as one surface of arrays (draws,)."""
    return fit.problem.surface(refit(fit, weights * fit.problem.weights, _n_threads()))


def _n_threads() -> int:
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


def parametric_intervals(draws: Surface) -> dict[str, Interval]:
    names = (*PARAMETERS, "a", "b", "G")
    return {name: percentile_interval(np.asarray(getattr(draws, name))) for name in names}


def isoflop_draws(fit: IsoflopFit, config: FitConfig, n_draws: int) -> np.ndarray:
    """Exponents (a, b) of resamples within each budget, (draws, 2)."""
    rng = np.random.default_rng(config.seed)
    kept = [valley for valley in fit.valleys if valley.bracketed]
    log_n = np.empty((n_draws, len(kept)))
    log_d = np.empty_like(log_n)
    for i, valley in enumerate(kept):
        x = np.log(valley.n_params)
        weights = stratified_counts(np.zeros(len(x)), n_draws, rng)
        degree = 3 if valley.curve == "cubic" else 2
        position, _, _ = minima(x - x.mean(), valley.losses, weights, degree)
        log_n[:, i] = position + x.mean()
        log_d[:, i] = np.interp(log_n[:, i], x, np.log(valley.n_tokens))
    log_c = np.log([valley.flops for valley in kept])
    sigma = np.array([valley.sigma for valley in kept])
    usable = np.all(np.isfinite(sigma) & (sigma > 0))
    weight = 1 / sigma**2 if usable else np.ones(len(kept))
    return np.column_stack([_slopes(log_c, log_n, weight), _slopes(log_c, log_d, weight)])


def envelope_draws(curves: Curves, weights: np.ndarray, method: str) -> np.ndarray:
    """Exponents (a, b) of the envelope of the runs in each resample, (draws, 2)."""
    if method == "hull":
        return _hull_draws(curves, weights)
    grid = bin_edges(curves)
    curve_grid = CurveGrid.of(curves, grid)
    return np.array([exponents(grid, curve_grid, row > 0) for row in weights])


def _hull_draws(curves: Curves, weights: np.ndarray) -> np.ndarray:
    """As `envelope_draws`, by hulls; a hull's vertices are vertices of the runs' own hulls."""
    runs = np.unique(curves.run)
    own = [np.flatnonzero(curves.run == run) for run in runs]
    log_c, log_l = np.log(curves.flops), np.log(curves.loss)
    points = curves.take(np.concatenate([r[lower_hull(log_c[r], log_l[r])] for r in own]))
    draws = []
    for row in weights:
        fit = fit_envelope(points.take(np.flatnonzero(row[points.run] > 0)), "hull")
        draws.append((fit.a, fit.b))
    return np.array(draws)


def exponent_intervals(draws: np.ndarray) -> dict[str, Interval]:
    return {"a": percentile_interval(draws[:, 0]), "b": percentile_interval(draws[:, 1])}


def _slopes(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted least-squares slope of each row of y (draws, points) on x; NaN where y has NaN."""
    centred = x - np.average(x, weights=weights)
    return (y * (weights * centred)).sum(axis=1) / float(np.sum(weights * centred**2))
