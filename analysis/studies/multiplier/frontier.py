"""The least loss of each amount of compute by a fitted approach, and its resamples.

On a surface of approach 3 the least loss is L = E + k C^-g exactly, and approach 2 fits that law to
its minima, so one law serves both, and the compute that a loss takes follows in closed form.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np

from analysis.errors import Numbers
from analysis.fits.min_loss_law import LossLaw
from analysis.fits.surface import Surface
from analysis.studies.approaches.fitted_approach import FittedApproach


@dataclass(frozen=True, eq=False)
class Frontier:
    """Least losses in compute: the law, the laws of resampled runs, and the compute that ran.

    Attributes:
        law: L(C) of the runs.
        draws: L(C) of each resample, one law of arrays (draws,); None for no resamples.
        flops: Least and largest compute that the law was fitted to.
        reason: Why there is no law that may be used; empty where there is one.
    """

    law: LossLaw | None
    draws: LossLaw | None
    flops: tuple[float, float]
    reason: str = ""


def frontier(fit: FittedApproach) -> Frontier:
    """The least losses of one fitted approach, if it may give a headline."""
    runs = fit.data.runs
    spent = np.where(np.isfinite(runs.budget), runs.budget, runs.flops)
    within = (float(spent.min()), float(spent.max()))
    if not fit.usable or fit.objections:
        why = "; ".join(fit.objections) or fit.reason or f"the fit is {fit.status}"
        return Frontier(None, None, within, why)
    centre = float(np.sqrt(within[0] * within[1]))
    if isinstance(fit.surface, Surface):
        draws = fit.surface_draws
        drawn = None if draws is None else of_surface(cast(Surface, draws), centre, len(runs))
        return Frontier(of_surface(fit.surface, centre, len(runs)), drawn, within)
    found = fit.min_loss
    if found is None or found.law is None or found.law.status == "degenerate":
        return Frontier(None, None, within, "no law of the least loss" if found is None
                        else found.reason)  # fmt: skip
    drawn = None if found.draws is None else _flat(found.draws)
    reason = "" if drawn is not None else found.reason
    return Frontier(found.law if not reason else None, drawn, within, reason)


def of_surface(surface: Surface, centre: float, n_points: int) -> LossLaw:
    """The least loss on a surface, whose parameters may be arrays of draws; NaN for no optimum.

    Args:
        surface: L = E + A/N^alpha + B/D^beta with its cost law.
        centre: Compute about which the law is written, FLOPs.
        n_points: Runs behind it.
    """
    with np.errstate(all="ignore"):  # a draw without an optimum becomes NaN and is counted
        n_params = surface.G * (centre / surface.cost.k) ** surface.a
        n_tokens = surface.cost.n_tokens(n_params, centre)
        drop = np.asarray(surface.loss(n_params, n_tokens) - surface.E, dtype=float)
        g = np.asarray(surface.alpha * surface.a, dtype=float)
    bad = ~(np.isfinite(drop) & np.isfinite(g) & (drop > 0) & (g > 0))
    return LossLaw(surface.E, np.where(bad, np.nan, drop)[()], np.where(bad, np.nan, g)[()],
                   centre, n_points)  # fmt: skip


def flops_for(law: LossLaw, loss: Numbers) -> np.ndarray:
    """The compute whose least loss is `loss`: infinite at or below E, NaN where the law is."""
    gap = np.asarray(loss - law.E, dtype=float)
    with np.errstate(all="ignore"):
        found = law.centre * (law.drop / gap) ** (1 / law.g)
    return np.where(gap > 0, found, np.where(np.isnan(gap), np.nan, np.inf))


def _flat(law: LossLaw) -> LossLaw:
    """Draws of shape (draws, 1) as (draws,)."""
    E, drop, g = (np.ravel(value) for value in (law.E, law.drop, law.g))
    return LossLaw(E, drop, g, law.centre, law.n_points)
