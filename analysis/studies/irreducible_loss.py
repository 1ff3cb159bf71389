"""The fitted E against the truth, on data whose entropy is known exactly (`data=grammar`).

No model can lose less than the entropy, and one of unlimited N and D would lose just that; so the
entropy is what the E of L = E + A/N^alpha + B/D^beta and of L = E + k C^-g should come to. Laws of
Kaplan et al. have none.
"""

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.counting import distinct
from analysis.data.loss_table import LossTable
from analysis.data.run_arrays import RunArrays
from analysis.errors import FitError, FitErrors
from analysis.stats.resampling import Interval
from analysis.studies import bootstrap as intervals
from analysis.studies.approaches.fit_all import fit_all, fit_input
from analysis.studies.approaches.fitted_approach import NO_INTERVAL
from analysis.studies.fit_config import FitConfig

FITTED = ("parametric", "isoflop", "envelope")


@dataclass(frozen=True)
class IrreducibleLoss:
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
class IrreducibleLossStudy:
    """The entropy; E from all runs by approach and counting, and from the runs up to each budget,
    under one counting; and `least`, (FLOPs, least loss) of each budget.
    """

    entropy: float
    estimates: tuple[IrreducibleLoss, ...]
    growth: tuple[IrreducibleLoss, ...]
    least: tuple[tuple[float, float], ...]


def known_entropy(table: LossTable) -> float | None:
    """The entropy of the runs' data in nats a token; None where it is not known.

    Raises:  FitError: runs of several entropies, such as several context lengths, which have no
             irreducible loss in common.
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


def study_irreducible_loss(
    table: LossTable, config: FitConfig, counting: str
) -> IrreducibleLossStudy | None:
    """Every approach's E against the entropy; None where the entropy is not known.

    Args:    table: runs that belong in one fit; counting: that of the report, under which fewer
             budgets are fitted.
    Raises:  FitError: see `known_entropy`, or a fit of another column than the loss.
    """
    entropy = known_entropy(table)
    if entropy is None:
        return None
    if config.loss != "loss":
        raise FitError(
            f"the entropy is in nats a token and these laws are of {config.loss}; fit the loss"
        )
    estimates = [
        estimate
        for convention in distinct(table.runs)
        for estimate in irreducible_losses(table, config, convention)
    ]
    budget = table.counted(counting).budget
    budgets = np.unique(budget[np.isfinite(budget)])
    loss = table.numbers("loss")
    growth = [
        estimate
        for top in budgets[1:]
        for estimate in irreducible_losses(_up_to(table, budget, float(top)), config, counting)
    ]
    least = [(float(top), float(loss[budget == top].min())) for top in budgets]
    return IrreducibleLossStudy(entropy, tuple(estimates), tuple(growth), tuple(least))


def irreducible_losses(table: LossTable, config: FitConfig, counting: str) -> list[IrreducibleLoss]:
    """E by each approach that has one, with its interval, under one counting convention.

    An approach that can't be fitted, or a convention that the table has no columns for, is there
    with the reason.
    """
    attempt = FitErrors()
    data = attempt("counting", lambda: fit_input(table, counting, config))
    if data is None:
        return [_none(name, counting, table, attempt.missing["counting"]) for name in FITTED]
    n_draws, resamples = intervals.n_resamples(config, len(data)), None
    if n_draws:
        resamples = attempt("draws", lambda: intervals.counts(table.runs, config, n_draws))
    fits = fit_all(data, replace(config, approaches=list(FITTED)), attempt)
    found = []
    for name in FITTED:
        made = None
        if name in fits:
            fit = fits[name].resampled(resamples)
            made = attempt(name, lambda fit=fit: fit.irreducible_loss)
        E, interval, status, reason = made or (
            float("nan"), NO_INTERVAL, "degenerate", attempt.missing[name],
        )  # fmt: skip
        found.append(_estimate(name, data.runs, E, interval, status, reason))
    return found


def _up_to(table: LossTable, budget: np.ndarray, top: float) -> LossTable:
    """Runs of the budgets up to one; runs without a budget are left out of this comparison."""
    kept = np.flatnonzero(budget <= top)
    return replace(table, runs=table.runs.iloc[kept].reset_index(drop=True))


def _estimate(
    name: str, runs: RunArrays, E: float, interval: Interval, status: str, reason: str
) -> IrreducibleLoss:
    budgets = np.unique(runs.budget[np.isfinite(runs.budget)])
    top = float(budgets.max()) if len(budgets) else float(runs.flops.max())
    return IrreducibleLoss(
        name, runs.counting, top, len(budgets), len(runs), E, interval, status, reason
    )


def _none(name: str, counting: str, table: LossTable, reason: str) -> IrreducibleLoss:
    nan = float("nan")
    return IrreducibleLoss(
        name, counting, nan, 0, len(table), nan, NO_INTERVAL, "degenerate", reason
    )
