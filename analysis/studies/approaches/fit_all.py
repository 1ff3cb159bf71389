"""Every approach that a configuration asks for, fitted to one table."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from analysis.data.cost_law import Cost
from analysis.data.loss_table import LossTable
from analysis.data.run_arrays import FitInput, RunArrays
from analysis.data.training.choice import with_curves
from analysis.errors import FitErrors
from analysis.studies.approaches.envelope import EnvelopeApproach
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.approaches.kaplan import KaplanApproach
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.fit_config import FitConfig

KINDS: Mapping[str, type[FittedApproach]] = {
    kind.name: kind
    for kind in (EnvelopeApproach, IsoflopApproach, ParametricApproach, KaplanApproach)
}


def fit_input(
    table: LossTable, counting: str, config: FitConfig, most_points: int = 10**8
) -> FitInput:
    """The runs of a table under a counting convention, as the approaches take them.

    Args:
        table: Runs that belong in one fit.
        counting: The convention; see `analysis.data.counting`.
        config: Settings; `cost`, `weights` and `curve_loss` are used here.
        most_points: About how many points of training curves are kept at most.

    Raises:
        FitError: A column that the convention or `fit.weights` needs is not there.
    """
    runs = with_cost(table.counted(counting), config)
    table, losses = with_curves(table, config.curve_loss)
    curves = table.training_curves(runs).thinned(most_points) if len(table.curves) else None
    given = bool(np.isfinite(table.numbers("flops_budget")).any())
    weights = _weights(table, config)
    return FitInput(runs, curves, weights, given, table.epochs(), curve_losses=losses)


def with_cost(runs: RunArrays, config: FitConfig) -> RunArrays:
    """The runs with the cost law that closed-form optima take: their own, or C = 6 N D."""
    return replace(runs, cost=Cost()) if config.cost == "6nd" else runs


def _weights(table: LossTable, config: FitConfig) -> np.ndarray | None:
    if config.weights is None:
        return None
    return table.weights(config.weights)


def fit_all(
    data: FitInput, config: FitConfig, attempt: FitErrors | None = None
) -> dict[str, FittedApproach]:
    """The approaches that were asked for and could be fitted, by name, in a fixed order.

    Args:
        data: What to fit.
        config: Settings; `approaches` says which.
        attempt: Keeps the reasons of those that could not be fitted.
    """
    attempt = attempt or FitErrors()
    found = {
        name: attempt(name, lambda kind=kind: kind.fitted(data, config))
        for name, kind in KINDS.items()
        if name in config.approaches
    }
    return {name: fit for name, fit in found.items() if fit is not None}
