"""What to train with a budget, by each approach, with intervals: the paper's table 3 for any
runs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from analysis.data.run_arrays import Curves, RunArrays
from analysis.stats.resampling import Interval
from analysis.studies.approaches.fitted_approach import NO_INTERVAL, FittedApproach
from analysis.studies.study import Study


@dataclass(frozen=True)
class AllocationRow:
    """How one approach spends one budget; NaN where it does not say, with the `loss_reason`.

    `beyond` says by what factor the row lies outside the runs, in each of C, N and D that does.
    """

    approach: str
    flops: float
    n_opt: float
    d_opt: float
    loss: float
    n_interval: Interval = NO_INTERVAL
    d_interval: Interval = NO_INTERVAL
    loss_interval: Interval = NO_INTERVAL
    beyond: dict[str, float] = field(default_factory=dict)
    loss_reason: str = ""

    @property
    def extrapolated(self) -> bool:
        return bool(self.beyond)

    def to_json(self) -> dict[str, Any]:
        """The row as fits.json has it; numbers may be NaN."""
        return {**asdict(self), "extrapolated": self.extrapolated}

    @property
    def tokens_per_param(self) -> float:
        return self.d_opt / self.n_opt


def default_budgets(study: Study) -> list[float]:
    """The budgets that ran (at most six of them), and 10, 100 and 1,000 times the largest."""
    budgets = np.unique(study.runs.budget[np.isfinite(study.runs.budget)])
    if not len(budgets):
        low, high = study.runs.flops.min(), study.runs.flops.max()
        budgets = np.geomspace(low, high, 3)
    shown = budgets[np.unique(np.linspace(0, len(budgets) - 1, min(6, len(budgets))).astype(int))]
    return [*map(float, shown), *(float(budgets.max()) * factor for factor in (10, 100, 1000))]


def allocate(
    study: Study, flops: Sequence[float] = (), n_params: Sequence[float] = ()
) -> list[AllocationRow]:
    """AllocationRow by every approach that was fitted, for budgets in FLOPs and for model sizes.

    A model size is given the budget for which the approach finds it optimal. With neither, the
    default budgets.
    """
    budgets = list(flops) if flops or n_params else default_budgets(study)
    usable = [fit for fit in study.fits.values() if fit.usable]
    advice = [
        _advice(fit, float(c))
        for fit in usable
        for c in (*budgets, *(fit.flops_for(float(n)) for n in n_params))
    ]
    return sorted(advice, key=lambda row: row.flops)


def _advice(fit: FittedApproach, flops: float) -> AllocationRow:
    best, spans = fit.optimal(flops), fit.optimal_intervals(flops)
    return AllocationRow(
        approach=fit.name,
        flops=flops,
        n_opt=float(best.n_params),
        d_opt=float(best.n_tokens),
        loss=float(best.loss),
        n_interval=spans.n_params,
        d_interval=spans.n_tokens,
        loss_interval=spans.loss,
        beyond=beyond(fit.measured, flops, float(best.n_params), float(best.n_tokens)),
        loss_reason=spans.loss_reason,
    )


NEAR = 1.05
"""Factor to which a row may lie outside the runs without being an extrapolation."""


def beyond(
    measured: RunArrays | Curves, flops: float, n_params: float, n_tokens: float
) -> dict[str, float]:
    """By what factor a run lies above or below all that was measured, in each quantity alone."""
    asked = {
        "C": (flops, measured.flops),
        "N": (n_params, measured.n_params),
        "D": (n_tokens, measured.n_tokens),
    }
    factors = {
        name: max(value / float(own.max()), float(own.min()) / value)
        for name, (value, own) in asked.items()
        if np.isfinite(value)
    }
    return {name: factor for name, factor in factors.items() if factor > NEAR}
