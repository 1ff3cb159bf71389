"""Bootstrap intervals of each approach from one way of resampling the runs."""

import os

import numpy as np
import pandas as pd

from analysis.bootstrap import (
    Interval,
    percentile_interval,
    resample_counts,
    seed_counts,
)
from analysis.config import FitConfig
from analysis.counting import Counted
from analysis.envelope import (
    CurveGrid,
    Curves,
    bin_edges,
    fit_envelope,
    laws_of,
    lower_hull,
)
from analysis.kaplan import KaplanJoint, refit_joint
from analysis.parametric import ParametricFit, refit
from analysis.powerlaw import PowerLaw
from analysis.surface import PARAMETERS, FitError, Surface

KAPLAN_DRAWS = 200
"""Resamples of the joint law of Kaplan et al., which has no fast solver here."""

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


def envelope_draws(curves: Curves, weights: np.ndarray, method: str) -> np.ndarray:
    """(a, log k_N, b, log k_D) of the envelope of the runs in each resample, (draws, 4)."""
    if method == "hull":
        return _hull_draws(curves, weights)
    grid = bin_edges(curves)
    curve_grid = CurveGrid.of(curves, grid)
    return np.array([laws_of(grid, curve_grid, row > 0) for row in weights])


def _hull_draws(curves: Curves, weights: np.ndarray) -> np.ndarray:
    """As `envelope_draws`, by hulls; a hull's vertices are vertices of the runs' own hulls."""
    runs = np.unique(curves.run)
    own = [np.flatnonzero(curves.run == run) for run in runs]
    log_c, log_l = np.log(curves.flops), np.log(curves.loss)
    points = curves.take(np.concatenate([r[lower_hull(log_c[r], log_l[r])] for r in own]))
    draws = []
    for row in weights:
        fit = fit_envelope(points.take(np.flatnonzero(row[points.run] > 0)), "hull")
        laws = (fit.n_law, fit.d_law)
        draws.append([x for law in laws for x in _line(law)])
    return np.array(draws)


def _line(law: PowerLaw | None) -> tuple[float, float]:
    nothing = (float("nan"), float("nan"))
    return (law.exponent, float(np.log(law.coefficient))) if law is not None else nothing


def exponent_intervals(draws: np.ndarray) -> dict[str, Interval]:
    """Intervals of a and b from draws as of `envelope_draws`."""
    return {"a": percentile_interval(draws[:, 0]), "b": percentile_interval(draws[:, 2])}


def kaplan_draws(
    joint: KaplanJoint, runs: Counted, weights: np.ndarray, delta: float
) -> KaplanJoint:
    """The joint laws of the first KAPLAN_DRAWS resamples, as one law of arrays.

    Half as many beyond 2,000 runs.
    """
    n_draws = KAPLAN_DRAWS if len(runs) <= 2000 else KAPLAN_DRAWS // 2
    columns = (runs.n_params, runs.n_tokens, runs.loss)
    return refit_joint(joint, *columns, weights[:n_draws], delta=delta)


def kaplan_intervals(draws: KaplanJoint) -> dict[str, Interval]:
    names = ("N_c", "D_c", "alpha_N", "alpha_D", "a", "b")
    return {name: percentile_interval(np.asarray(getattr(draws, name))) for name in names}
