"""What the fits of a simulated sweep should have found: the truth against every estimate."""

from dataclasses import dataclass

import numpy as np

from analysis.fits.surface import Surface
from analysis.stats.resampling import Interval
from analysis.studies.known_surfaces import Truth, cost_curve, true_exponents
from analysis.studies.study import Study


@dataclass(frozen=True)
class Recovered:
    """One quantity by one approach: its true value, the estimate and its 95 % interval."""

    approach: str
    quantity: str
    truth: float
    estimate: float
    interval: Interval

    @property
    def held(self) -> bool | None:
        """Whether the interval holds the truth; None without an interval."""
        low, high = self.interval
        return bool(low <= self.truth <= high) if np.isfinite([low, high]).all() else None


def recovered(study: Study, truth: Truth) -> list[Recovered]:
    """Every exponent that was fitted, and E, alpha and beta where the truth has them.

    The true exponents are the mean slopes over the budgets that ran, at the models' own cost.
    """
    runs = study.runs
    budgets = np.unique(runs.budget[np.isfinite(runs.budget)])
    if len(budgets) < 2:
        budgets = np.geomspace(runs.flops.min(), runs.flops.max(), 5)
    per_token = cost_curve(runs.n_params, runs.flops / runs.n_tokens)
    true = dict(zip("ab", true_exponents(truth, per_token, budgets), strict=True))
    if isinstance(truth, Surface):
        true |= {name: float(getattr(truth, name)) for name in ("alpha", "beta", "E")}
    rows = []
    for approach, fit in study.deciding.items():
        for name, value in true.items():
            estimate = fit.parameters.get(name, float("nan"))
            if np.isfinite(estimate):
                interval = study.interval(approach, name)
                rows.append(Recovered(approach, name, value, float(estimate), interval))
    return rows


def conclusion(rows: list[Recovered], surface: str) -> str:
    """In one sentence: how many intervals hold the truth, and which don't."""
    judged = [row for row in rows if row.held is not None]
    missed = ", ".join(f"{row.quantity} of {row.approach}" for row in judged if not row.held)
    return (
        f"Simulated on {surface}: {sum(bool(row.held) for row in judged)} of {len(judged)} "
        f"intervals hold the truth" + (f"; not {missed}" if missed else "")
    )
