"""Bootstrap intervals of each approach from one way of resampling the runs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.data.run_arrays import BestOf, Curves, RunArrays
from analysis.data.training.smoothed import WINDOWS
from analysis.errors import FitError
from analysis.fits.envelope import (
    CurveGrid,
    best_points,
    bin_edges,
    fit_envelope,
    laws_through,
    lower_hull,
    outline,
)
from analysis.fits.kaplan import KaplanJoint, refit_joint
from analysis.fits.parametric.fit import ParametricFit, refit
from analysis.fits.surface import PARAMETERS, Surface
from analysis.stats.resampling import (
    Interval,
    percentile_interval,
    resample_counts,
    seed_counts,
)
from analysis.studies.fit_config import FitConfig

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
    require_resample(frame, config)
    return resample_counts(len(frame), n_draws, rng, clusters(frame[config.resample].to_numpy()))


def clusters(column: np.ndarray) -> np.ndarray:
    """A number a run, equal where the column is, (runs,); a run without a value stands alone.

    So runs of one trunk (`trunk_id`), which share their noise, are drawn together, and runs of none
    as ever.
    """
    labels, values = pd.factorize(column)
    alone = labels < 0
    return np.where(alone, len(values) + np.arange(len(labels)), labels)


def require_resample(frame: pd.DataFrame, config: FitConfig) -> None:
    """Check that `fit.resample` is runs, seeds, or a column.

    Raises:  FitError: it is none of these.
    """
    if config.resample not in ("runs", "seeds", *frame.columns):
        raise FitError(
            f"fit.resample={config.resample} is no column of the runs; use runs, seeds, or one of "
            f"{', '.join(map(str, frame.columns))}"
        )


def parametric_draws(
    fit: ParametricFit, weights: np.ndarray, best_of: BestOf | None = None
) -> Surface:
    """The surfaces of all resamples, as one surface of arrays (draws,).

    Of runs that are each the best of a cell, the draws fit losses without the luck of the best; its
    noise is in how the cells scatter, which the resamples show.
    """
    if best_of is not None:
        runs = replace(fit.runs, y=fit.runs.y + best_of.bias)
        fit = replace(fit, problem=replace(fit.problem, runs=runs))
    return fit.problem.surface(refit(fit, weights * fit.problem.weights, _n_threads()))


def _n_threads() -> int:
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


def parametric_intervals(draws: Surface) -> dict[str, Interval]:
    names = (*PARAMETERS, "a", "b", "G")
    return {name: percentile_interval(np.asarray(getattr(draws, name))) for name in names}


@dataclass(frozen=True)
class EnvelopeDraws:
    """Envelopes of resampled runs: `laws` (draws, 4) as of `laws_through`, and their outlines,
    FLOPs and loss, (draws, OUTLINE_POINTS) each.
    """

    laws: np.ndarray
    flops: np.ndarray
    loss: np.ndarray


def envelope_draws(
    curves: Curves,
    weights: np.ndarray,
    method: str,
    seed: int = 0,
    window: float = WINDOWS[0],
) -> EnvelopeDraws:
    """The envelope of the runs in each resample, smoothed losses redrawn by their errors.

    Args:
        curves: Of all runs.
        weights: How often each resample has each run, (draws, runs).
        method: bins or hull.
        seed: Of the redrawn losses.
        window: Half the width in log tokens over which losses were smoothed.
    """
    runs, first = np.unique(curves.run, return_index=True)
    sizes = curves.n_params[first]
    rng = np.random.default_rng(seed)
    if method == "hull":
        envelopes = _hulls(curves, weights, rng)
    else:
        envelopes = _binned(curves, weights, rng, window)
    laws, outlines = [], []
    for points, row in zip(envelopes, weights, strict=True):
        laws.append(laws_through(points))
        outlines.append(outline(points, sizes[row[runs] > 0]))
    flops, loss = np.moveaxis(np.array(outlines), 1, 0)
    return EnvelopeDraws(np.array(laws), flops, loss)


def _binned(
    curves: Curves, weights: np.ndarray, rng: np.random.Generator, window: float
) -> Iterator[Curves]:
    grid = bin_edges(curves)
    curve_grid = CurveGrid.of(curves, grid)
    shaken = (curve_grid.shaken(grid, 2 * window, rng) for _ in weights)
    return (best_points(grid, own, row > 0) for own, row in zip(shaken, weights, strict=True))


def _hulls(curves: Curves, weights: np.ndarray, rng: np.random.Generator) -> Iterator[Curves]:
    """Hulls of resampled runs; a hull's vertices are vertices of the runs' own hulls."""
    runs = np.unique(curves.run)
    own = [np.flatnonzero(curves.run == run) for run in runs]
    log_c, log_l = np.log(curves.flops), np.log(curves.loss)
    points = curves.take(np.concatenate([r[lower_hull(log_c[r], log_l[r])] for r in own]))
    for row in weights:
        drawn = points.take(np.flatnonzero(row[points.run] > 0))
        if drawn.error is not None:
            # Vertices lie further apart than a window, so each has noise of its own.
            noise = drawn.error * rng.standard_normal(len(drawn))
            drawn = replace(drawn, loss=drawn.loss * np.exp(noise))
        yield fit_envelope(drawn, "hull").points


def exponent_intervals(draws: EnvelopeDraws) -> dict[str, Interval]:
    """Intervals of a and b."""
    return {"a": percentile_interval(draws.laws[:, 0]), "b": percentile_interval(draws.laws[:, 2])}


def kaplan_draws(
    joint: KaplanJoint,
    runs: RunArrays,
    weights: np.ndarray,
    delta: float,
    best_of: BestOf | None = None,
) -> KaplanJoint:
    """The joint laws of the first KAPLAN_DRAWS resamples, as one law of arrays.

    Half as many beyond 2,000 runs.
    """
    n_draws = KAPLAN_DRAWS if len(runs) <= 2000 else KAPLAN_DRAWS // 2
    lifted = runs.loss if best_of is None else runs.loss * np.exp(best_of.bias)
    columns = (runs.n_params, runs.n_tokens, lifted)
    return refit_joint(joint, *columns, weights[:n_draws], delta=delta)


def kaplan_intervals(draws: KaplanJoint) -> dict[str, Interval]:
    names = ("N_c", "D_c", "alpha_N", "alpha_D", "a", "b")
    return {name: percentile_interval(np.asarray(getattr(draws, name))) for name in names}
