"""Approach 2 of Hoffmann et al. 2022: each budget's loss against log N, and its minimum.

The minima are then joined by power laws N_opt ~ C^a and D_opt ~ C^b, each weighted by its own
uncertainty. A minimum that the runs do not bracket is shown, but no law is drawn through it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.powerlaw import PowerLaw, fit_power_law
from analysis.surface import FitError, Status
from analysis.valley import CURVES, Valley, fit_valley


@dataclass(frozen=True)
class IsoflopFit:
    """The valleys, and the laws through those that are bracketed (None with fewer than two)."""

    valleys: tuple[Valley, ...]
    n_law: PowerLaw | None
    d_law: PowerLaw | None
    noise: float
    status: Status
    reason: str

    @property
    def a(self) -> float:
        return self.n_law.exponent if self.n_law else float("nan")

    @property
    def b(self) -> float:
        return self.d_law.exponent if self.d_law else float("nan")


def fit_isoflop(
    budget: np.ndarray,
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    loss: np.ndarray,
    *,
    curve: str = "parabola",
    noise: float | None = None,
) -> IsoflopFit:
    """Fit each budget's valley and the power laws through the minima.

    Args:    budget: compute budget of each run, equal for the runs of one valley, FLOPs, (runs,).
             n_params, n_tokens, loss: (runs,), > 0.
             curve: parabola or cubic in log N, or Akima's interpolation through every run.
             noise: standard deviation of the loss between seeds; estimated from the scatter of all
             profiles together when None.
    Raises:  FitError: no budget has as many model sizes as the curve needs.
    """
    if curve not in CURVES:
        raise FitError(f"profile {curve!r} is unknown; expected one of {', '.join(CURVES)}")
    groups = [np.flatnonzero(budget == value) for value in np.unique(budget)]
    least = CURVES[curve] + 1
    groups = [rows for rows in groups if len(np.unique(n_params[rows])) >= least]
    if not groups:
        raise FitError(
            f"no compute budget has the {least} model sizes that a {curve} needs; "
            f"add sizes to a budget, or give the runs' budgets in a column flops_budget"
        )
    spread, freedom = _noise(groups, n_params, loss, curve, noise)
    valleys = tuple(
        fit_valley(float(budget[r[0]]), n_params[r], n_tokens[r], loss[r], curve, spread, freedom)
        for r in groups
    )
    return _laws(valleys, spread, freedom)


def group_by_flops(flops: np.ndarray, gap: float = 0.1, least: int = 4) -> np.ndarray:
    """The budget of each run, (runs,), by clustering FLOPs; NaN for a run that stands apart.

    Sorted FLOPs are cut wherever neighbours differ by more than `gap` in the logarithm. A cluster
    needs `least` runs within a factor of 1.5; its budget is their median.
    """
    order = np.argsort(flops)
    log_flops = np.log(flops[order])
    cluster = np.concatenate([[0], np.cumsum(np.diff(log_flops) > gap)])
    budget = np.full(len(flops), np.nan)
    for label in np.unique(cluster):
        rows = order[cluster == label]
        if len(rows) >= least and np.ptp(np.log(flops[rows])) < np.log(1.5):
            budget[rows] = np.median(flops[rows])
    return budget


def _noise(
    groups: Sequence[np.ndarray],
    n_params: np.ndarray,
    loss: np.ndarray,
    curve: str,
    known: float | None,
) -> tuple[float, float]:
    """Standard deviation of losses about their profiles, pooled, and its degrees of freedom."""
    if known is not None:
        return known, float("inf")
    if curve == "akima":
        return _seed_noise(groups, n_params, loss)
    degree = CURVES[curve]
    squares, freedom = 0.0, 0
    for rows in groups:
        x = np.log(n_params[rows])
        x = x - x.mean()
        fitted = np.polyval(np.polyfit(x, loss[rows], degree), x)
        squares += float(np.sum((loss[rows] - fitted) ** 2))
        freedom += max(0, len(rows) - degree - 1)
    if freedom == 0:
        return float("nan"), float("nan")
    return float(np.sqrt(squares / freedom)), float(freedom)


def _seed_noise(
    groups: Sequence[np.ndarray], n_params: np.ndarray, loss: np.ndarray
) -> tuple[float, float]:
    """As `_noise`, from runs that repeat a budget and a size; NaN when none do."""
    squares, freedom = 0.0, 0
    for rows in groups:
        for size in np.unique(n_params[rows]):
            same = loss[rows][n_params[rows] == size]
            squares += float(np.sum((same - same.mean()) ** 2))
            freedom += len(same) - 1
    if freedom == 0:
        return float("nan"), float("nan")
    return float(np.sqrt(squares / freedom)), float(freedom)


def _laws(valleys: tuple[Valley, ...], noise: float, freedom: float) -> IsoflopFit:
    kept = [valley for valley in valleys if valley.bracketed]
    lost = len(valleys) - len(kept)
    reason = f"{lost} of {len(valleys)} budgets have no bracketed minimum" if lost else ""
    if len(kept) < 2:
        return IsoflopFit(valleys, None, None, noise, "degenerate", reason or "only one budget")
    flops = np.array([valley.flops for valley in kept])
    sigma = np.array([valley.sigma for valley in kept])
    usable = sigma if np.all(np.isfinite(sigma) & (sigma > 0)) else None
    n_law = fit_power_law(flops, np.array([valley.n_opt for valley in kept]), usable, freedom)
    d_law = fit_power_law(flops, np.array([valley.d_opt for valley in kept]), usable, freedom)
    return IsoflopFit(valleys, n_law, d_law, noise, "converged", reason)
