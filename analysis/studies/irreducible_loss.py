"""Fitted floors against the truth, on data whose entropy is known exactly (`data=grammar`).

No model can lose less than the entropy, and one of unlimited N and D would lose just that; so the
entropy is what the E of L = E + A/N^alpha + B/D^beta and of L = E + k C^-g should come to. Laws of
Kaplan et al. have no floor.
"""

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.counting import COUNTINGS
from analysis.data.loss_table import LossTable
from analysis.data.run_arrays import Counted
from analysis.errors import FitError
from analysis.fits.min_loss import envelope_loss_law, isoflop_loss_draws, isoflop_loss_law
from analysis.fits.min_loss_law import LossLaw
from analysis.fits.parametric.profile_likelihood import profile
from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies import approaches
from analysis.studies import bootstrap as intervals
from analysis.studies.approaches import Attempts
from analysis.studies.fit_config import FitConfig

FITTED = ("parametric", "isoflop", "envelope")
NO_INTERVAL: Interval = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Floor:
    """The E of one approach, fitted to the runs up to `flops`; NaN where there is none."""

    approach: str
    counting: str
    flops: float
    n_budgets: int
    n_runs: int
    E: float
    interval: Interval
    status: str
    reason: str


@dataclass(frozen=True)
class FloorStudy:
    """The entropy; the floors of all runs by approach and counting; the floors of the runs up to
    each budget, under one counting; and `least`, (FLOPs, least loss) of each budget.
    """

    entropy: float
    floors: tuple[Floor, ...]
    growth: tuple[Floor, ...]
    least: tuple[tuple[float, float], ...]


def known_entropy(table: LossTable) -> float | None:
    """The entropy of the runs' data in nats a token; None where it is not known.

    Raises:  FitError: runs of several entropies, such as several context lengths, which have no
             floor in common.
    """
    values = table.numbers("entropy")
    if not np.isfinite(values).all() or not len(values):
        return None
    if np.ptp(values) > 1e-6 * values.max():
        raise FitError(
            f"the runs' data has entropies from {values.min():.5g} to {values.max():.5g}; "
            f"fit one kind of data and one context length at a time"
        )
    return float(values[0])


def study_floors(table: LossTable, config: FitConfig, counting: str) -> FloorStudy | None:
    """Every approach's floor against the entropy; None where the entropy is not known.

    Args:    table: runs that belong in one fit; counting: that of the report, which the floors of
             fewer budgets are fitted under.
    Raises:  FitError: see `known_entropy`.
    """
    entropy = known_entropy(table)
    if entropy is None:
        return None
    floors = [floor for convention in COUNTINGS for floor in floors_of(table, config, convention)]
    budget = table.counted(counting).budget
    budgets = np.unique(budget[np.isfinite(budget)])
    loss = table.numbers("loss")
    growth = [
        floor
        for top in budgets[1:]
        for floor in floors_of(_up_to(table, budget, float(top)), config, counting)
    ]
    least = [(float(top), float(loss[budget == top].min())) for top in budgets]
    return FloorStudy(entropy, tuple(floors), tuple(growth), tuple(least))


def floors_of(table: LossTable, config: FitConfig, counting: str) -> list[Floor]:
    """The floor by each approach that has one, with its interval, under one counting convention.

    An approach that can't be fitted, or a convention that the table has no columns for, is there
    with the reason.
    """
    attempt = Attempts()
    runs = attempt("counting", lambda: approaches.with_cost(table.counted(counting), config))
    if runs is None:
        return [_none(name, counting, table, attempt.missing["counting"]) for name in FITTED]
    n_draws = intervals.n_resamples(config, len(runs))
    weights = None
    if n_draws:
        weights = attempt("draws", lambda: intervals.counts(table.runs, config, n_draws))
    makers = {"parametric": _parametric, "isoflop": _isoflop, "envelope": _envelope}
    found = []
    for name in FITTED:
        made = attempt(name, lambda m=makers[name]: m(table, runs, config, weights))
        found.append(made or _none(name, counting, table, attempt.missing[name], runs))
    return found


def _up_to(table: LossTable, budget: np.ndarray, top: float) -> LossTable:
    """Runs of the budgets up to one; runs without a budget are left out of this comparison."""
    kept = np.flatnonzero(budget <= top)
    return replace(table, runs=table.runs.iloc[kept].reset_index(drop=True))


def _parametric(
    table: LossTable, runs: Counted, config: FitConfig, weights: np.ndarray | None
) -> Floor:
    fit = approaches.parametric(table, runs, config)
    interval = NO_INTERVAL
    if fit.status == "converged" and config.interval == "profile":
        interval = profile(fit, "E").interval
    elif fit.status == "converged" and weights is not None:
        interval = intervals.parametric_intervals(intervals.parametric_draws(fit, weights))["E"]
    shown = float(fit.E) if fit.usable else float("nan")
    return _floor("parametric", runs, shown, interval, fit.status, fit.reason)


def _isoflop(
    table: LossTable, runs: Counted, config: FitConfig, weights: np.ndarray | None
) -> Floor:
    fit = approaches.isoflop(runs, config)
    law = isoflop_loss_law(fit)
    drawn = Attempts()(
        "draws",
        lambda: isoflop_loss_draws(
            law, fit, max(config.n_resamples, 1000), np.random.default_rng(config.seed)
        ),
    )
    return _of_law("isoflop", runs, law, drawn)


def _envelope(
    table: LossTable, runs: Counted, config: FitConfig, weights: np.ndarray | None
) -> Floor:
    """Without an interval: see `allocation.ENVELOPE_LOSS`."""
    law = envelope_loss_law(approaches.envelope(table, runs, config), runs.n_params)
    return _of_law("envelope", runs, law, None)


def _of_law(name: str, runs: Counted, law: LossLaw, drawn: LossLaw | None) -> Floor:
    if law.n_points < 4 or law.status == "degenerate":
        return _floor(name, runs, float("nan"), NO_INTERVAL, "degenerate", law.reason)
    interval = NO_INTERVAL if drawn is None else percentile_interval(np.ravel(drawn.E))
    return _floor(name, runs, float(law.E), interval, law.status, law.reason)


def _floor(
    name: str, runs: Counted, E: float, interval: Interval, status: str, reason: str
) -> Floor:
    budgets = np.unique(runs.budget[np.isfinite(runs.budget)])
    top = float(budgets.max()) if len(budgets) else float(runs.flops.max())
    return Floor(name, runs.counting, top, len(budgets), len(runs), E, interval, status, reason)


def _none(
    name: str, counting: str, table: LossTable, reason: str, runs: Counted | None = None
) -> Floor:
    if runs is not None:
        return _floor(name, runs, float("nan"), NO_INTERVAL, "degenerate", reason)
    nan = float("nan")
    return Floor(name, counting, nan, 0, len(table), nan, NO_INTERVAL, "degenerate", reason)
