"""Each approach fitted to a table of runs as the configuration asks, one function an approach."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from analysis.data.cost_law import Cost
from analysis.data.loss_table import LossTable
from analysis.data.run_arrays import Counted
from analysis.errors import FitError
from analysis.fits.data_constrained import RepeatedFit, fit_repeated
from analysis.fits.envelope import EnvelopeFit, fit_envelope
from analysis.fits.isoflop import IsoflopFit, fit_isoflop
from analysis.fits.kaplan import KaplanJoint, fit_frontier, fit_joint
from analysis.fits.parametric.fit import ParametricFit, pose, solve
from analysis.fits.parametric.lbfgs import HOFFMANN, fit_lbfgs
from analysis.stats.power_law import PowerLaw
from analysis.studies.fit_config import FitConfig

log = logging.getLogger(__name__)
Fit = TypeVar("Fit")


@dataclass(frozen=True)
class KaplanFit:
    """The joint law and the frontier laws by variable (N, D, C); reasons for what is missing."""

    joint: KaplanJoint
    frontier: dict[str, PowerLaw]
    reasons: dict[str, str]


class Attempts:
    """Runs fits that may not be possible and keeps the reason of each that was not."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def __call__(self, name: str, fit: Callable[[], Fit]) -> Fit | None:
        try:
            return fit()
        except FitError as error:
            self.missing[name] = str(error)
            log.debug("%s: %s", name, error)
            return None


def repeated(
    table: LossTable, runs: Counted, config: FitConfig, attempt: Attempts
) -> RepeatedFit | None:
    """The data-constrained law, where runs saw some of their tokens more than once."""
    table = table.with_repeating()
    epochs, runs = table.epochs(), with_cost(table.counted(runs.counting), config)
    if not (epochs > 1.01).any():
        return None
    columns = (runs.n_params, runs.n_tokens, epochs, runs.loss)
    return attempt("repeated", lambda: fit_repeated(*columns, delta=config.delta, cost=runs.cost))


def with_cost(runs: Counted, config: FitConfig) -> Counted:
    """The runs with the cost law that closed-form optima take: their own, or C = 6 N D."""
    return replace(runs, cost=Cost()) if config.cost == "6nd" else runs


def envelope(
    table: LossTable, runs: Counted, config: FitConfig, most_points: int = 10**8
) -> EnvelopeFit:
    """Approach 1.

    Raises:  FitError: no training curves.
    """
    if not len(table.curves):
        raise FitError("the table has no training curves; the envelope needs losses along training")
    return fit_envelope(table.training_curves(runs).thinned(most_points), config.envelope)


def isoflop(runs: Counted, config: FitConfig) -> IsoflopFit:
    """Approach 2, on the runs that have a budget.

    Raises:  FitError: none has one, or no budget has enough sizes.
    """
    rows = np.isfinite(runs.budget)
    if not rows.any():
        raise FitError("no group of runs shares a compute budget; add a column flops_budget")
    used = runs.take(np.flatnonzero(rows))
    return fit_isoflop(used.budget, used.n_params, used.n_tokens, used.loss, curve=config.valley)


def parametric(table: LossTable, runs: Counted, config: FitConfig) -> ParametricFit:
    """Approach 3.

    Raises:  FitError: too few runs, or no such column of weights.
    """
    weights = None if config.weights is None else table.weights(config.weights)
    columns = (runs.n_params, runs.n_tokens, runs.loss)
    problem = pose(
        *columns, weights, config.delta, config.reduction, config.above, config.fixed, runs.cost
    )
    return fit_lbfgs(problem, [HOFFMANN])[0] if config.solver == "lbfgs" else solve(problem)


def kaplan(runs: Counted, config: FitConfig) -> KaplanFit:
    """The laws of Kaplan et al.

    Raises:  FitError: too few runs for the joint law.
    """
    attempt = Attempts()
    columns = {"N": runs.n_params, "D": runs.n_tokens, "C": runs.flops}
    laws = {
        name: attempt(name, lambda x=x: fit_frontier(x, runs.loss)) for name, x in columns.items()
    }
    joint = fit_joint(
        runs.n_params, runs.n_tokens, runs.loss, delta=max(config.delta, 1e-6), cost=runs.cost
    )
    frontier = {name: law for name, law in laws.items() if law is not None}
    return KaplanFit(joint, frontier, attempt.missing)
