"""Predicted against measured: what a fit predicted beyond its runs, and what training then gave.

Two ways to spend one budget were trained with several seeds: the optimum that the fit predicted,
and an alternative with several times the parameters (as Kaplan et al. 2020 and Gopher would have
it).
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from analysis.errors import FitError
from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies.allocation import allocate
from analysis.studies.approaches.fitted_approach import NO_INTERVAL, FittedApproach
from analysis.studies.study import Study
from eval.evals_table import PARTS
from eval.metrics.per_item import LOWER_IS_BETTER

EVAL_KEYS = ("task", "operands", "format", "n_shots", "split", "metric")


@dataclass(frozen=True, eq=False)
class TrainedCell:
    """One allocation as it was trained: N and D under the fit's counting, and each seed's loss."""

    name: str
    n_params: float
    n_tokens: float
    flops: float
    run_ids: tuple[str, ...]
    losses: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.losses.mean())

    @property
    def spread(self) -> float:
        """Standard deviation between seeds; NaN of one seed."""
        return float(self.losses.std(ddof=1)) if len(self.losses) > 1 else float("nan")


@dataclass(frozen=True)
class Forecast:
    """A law's loss for one cell, with the 95 % interval of the law itself (not of a seed)."""

    law: str
    cell: str
    loss: float
    interval: Interval
    measured: float

    @property
    def error(self) -> float:
        """log(predicted / measured)."""
        return float(np.log(self.loss / self.measured))

    @property
    def holds(self) -> bool | None:
        """Whether the interval holds the mean of the seeds; None without an interval."""
        low, high = self.interval
        return None if np.isnan(low + high) else low <= self.measured <= high


@dataclass(frozen=True)
class Difference:
    """Alternative minus optimum with Welch's 95 % interval over seeds (NaN with a single one)."""

    value: float
    interval: Interval

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves zero out, else 0."""
        low, high = self.interval
        return int(low > 0) - int(high < 0)


@dataclass(frozen=True)
class Score:
    """One metric of one evaluation: its mean over the seeds of either allocation."""

    task: str
    operands: str
    format: str
    n_shots: int
    split: str
    metric: str
    optimum: float
    alternative: float
    difference: Difference

    @property
    def winner(self) -> str:
        sign = self.difference.sign * (1 if self.metric in LOWER_IS_BETTER else -1)
        return {1: "optimum", -1: "alternative", 0: "neither"}[sign]


@dataclass(frozen=True)
class Validation:
    """One test of a fit, in full; `predicted_gaps` are each law's alternative minus optimum, and
    losses are in `unit`.
    """

    source: str
    flops: float
    largest_fitted: float
    approach: str
    cells: tuple[TrainedCell, TrainedCell]
    gap: Difference
    forecasts: tuple[Forecast, ...]
    predicted_gaps: dict[str, tuple[float, Interval]]
    scores: tuple[Score, ...]
    unit: str
    notes: tuple[str, ...] = field(default=())

    @property
    def winner(self) -> str:
        return {1: "optimum", -1: "alternative", 0: "neither"}[self.gap.sign]


def validate(
    study: Study,
    source: str,
    predicted: dict,
    cells: tuple[TrainedCell, TrainedCell],
    evals: pd.DataFrame,
    notes: tuple[str, ...] = (),
) -> Validation:
    """A study's laws held against the runs that were trained to test it.

    Args:    predicted: validation.json, as it was written before training.
    """
    optimum, alternative = cells
    changed = _changed(study, predicted)
    forecasts, gaps = _by_surfaces(study, cells)
    return Validation(
        source=source,
        flops=predicted["flops"],
        largest_fitted=predicted["fitted"][1],
        approach=predicted["approach"],
        cells=cells,
        gap=difference(optimum.losses, alternative.losses),
        forecasts=(*forecasts, *_min_losses(study, optimum)),
        predicted_gaps=gaps,
        scores=scores(evals, cells),
        unit=study.config.loss_unit,
        notes=(*notes, *changed),
    )


def difference(optimum: np.ndarray, alternative: np.ndarray) -> Difference:
    """Mean of alternative minus mean of optimum; values (seeds,) each.

    Source:  Welch 1947 (unequal variances).
    """
    value = float(alternative.mean() - optimum.mean())
    if min(len(optimum), len(alternative)) < 2 or np.ptp(optimum) + np.ptp(alternative) == 0:
        return Difference(value, NO_INTERVAL)
    span = stats.ttest_ind(alternative, optimum, equal_var=False).confidence_interval(0.95)
    return Difference(value, (float(span.low), float(span.high)))


def scores(evals: pd.DataFrame, cells: tuple[TrainedCell, TrainedCell]) -> tuple[Score, ...]:
    """Every evaluation that both allocations have.

    Args:    evals: rows of evals.parquet; those by target length, by position and of fewer items
             are left to the part on emergence.
    """
    if not len(evals):
        return ()
    whole = evals.loc[evals[list(PARTS)].isna().all(axis=1)]
    found = []
    for _, rows in whole.groupby(list(EVAL_KEYS), sort=True):
        optimum, alternative = (_values(rows, cell) for cell in cells)
        if len(optimum) and len(alternative):
            means = float(optimum.mean()), float(alternative.mean())
            task, operands, form, shots, split, name = (rows[key].iloc[0] for key in EVAL_KEYS)
            named = str(task), str(operands), str(form), int(shots), str(split), str(name)
            found.append(Score(*named, *means, difference(optimum, alternative)))
    return tuple(found)


def _values(rows: pd.DataFrame, cell: TrainedCell) -> np.ndarray:
    """A metric at the last checkpoint of each run of a cell, (runs,)."""
    own = rows.loc[rows["run_id"].isin(list(cell.run_ids)) & rows["value"].notna()]
    last = own.sort_values("step").drop_duplicates("run_id", keep="last")
    return last["value"].to_numpy(dtype=float)


def _by_surfaces(
    study: Study, cells: tuple[TrainedCell, TrainedCell]
) -> tuple[list[Forecast], dict[str, tuple[float, Interval]]]:
    """Forecasts at each cell's own N and D by the laws that have one there, and of the gap."""
    forecasts, gaps = [], {}
    for fit in study.fits.values():
        if fit.surface is None or not fit.usable:
            continue
        found = [fit.loss(cell.n_params, cell.n_tokens) for cell in cells]
        for cell, (loss, interval) in zip(cells, found, strict=True):
            forecasts.append(Forecast(fit.name, cell.name, loss, interval, cell.mean))
        gaps[fit.name] = (found[1][0] - found[0][0], _gap_interval(fit, cells))
    return forecasts, gaps


def _gap_interval(fit: FittedApproach, cells: tuple[TrainedCell, TrainedCell]) -> Interval:
    """Of the second cell's loss less the first's: their draws go together."""
    draws = fit.surface_draws
    if draws is None:
        return NO_INTERVAL
    with np.errstate(all="ignore"):  # draws without a finite loss are counted as NaN
        first, second = (np.asarray(draws.loss(cell.n_params, cell.n_tokens)) for cell in cells)
    return percentile_interval(second - first)


def _min_losses(study: Study, optimum: TrainedCell) -> list[Forecast]:
    """What approaches 1 and 2 say is the least loss that the budget buys."""
    try:
        advice = allocate(study, [optimum.flops])
    except FitError:
        return []
    return [
        Forecast(row.approach, optimum.name, row.loss, row.loss_interval, optimum.mean)
        for row in advice
        if study.fits[row.approach].surface is None and np.isfinite(row.loss)
    ]


def _changed(study: Study, predicted: dict) -> list[str]:
    """A note where today's fit predicts another optimum than the one that was trained."""
    advice = allocate(study, [predicted["flops"]])
    now = next((row.n_opt for row in advice if row.approach == predicted["approach"]), float("nan"))
    then = predicted["optimum"]["n_params"]
    if np.isfinite(now) and abs(np.log(now / then)) < 0.01:
        return []
    return [
        f"The optimum was predicted as N = {then:.4g}; the fit of this report says {now:.4g}: its "
        f"runs, counting or procedure are others than then"
    ]
