"""Approach 2 of Hoffmann et al. 2022: each budget's loss against log N, and its minimum.

The minima are then joined by power laws N_opt ~ C^a and D_opt ~ C^b, each weighted by its own
uncertainty. A minimum that the runs do not bracket is shown, but no law is drawn through it.
"""

from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError, Status
from analysis.fits.isoflop_profile import Valley, read_valley
from analysis.fits.isoflop_shapes import CURVES, Profiles, Shapes, fit_shapes
from analysis.fits.isoflop_softened import enough_runs, fit_softened
from analysis.stats.power_law import PowerLaw, fit_power_law


@dataclass(frozen=True)
class IsoflopFit:
    """The valleys, and the laws through those that are bracketed (None with fewer than two).

    `loss_errors` is the covariance of the logs of the bracketed minima's losses, known to `freedom`
    degrees of freedom.
    """

    valleys: tuple[Valley, ...]
    n_law: PowerLaw | None
    d_law: PowerLaw | None
    noise: float
    loss_errors: np.ndarray
    freedom: float
    status: Status
    reason: str

    @property
    def bracketed(self) -> tuple[Valley, ...]:
        return tuple(valley for valley in self.valleys if valley.bracketed)

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
    curve: str = "skewed",
    noise: float | None = None,
) -> IsoflopFit:
    """Fit each budget's valley and the power laws through the minima.

    Args:    budget: compute budget of each run, equal for the runs of one valley, FLOPs, (runs,).
             n_params, n_tokens, loss: (runs,), > 0.
             curve: the profile in log N, one of CURVES: skewed (parabolas with one skewness for
             all), softened (those plus a random roughness), parabola, cubic, or Akima's
             interpolation through every run.
             noise: relative standard deviation of the loss between seeds; estimated when None.
    Raises:  FitError: no budget has as many model sizes as the curve needs.
    """
    if curve not in CURVES:
        raise FitError(f"profile {curve!r} is unknown; expected one of {', '.join(CURVES)}")
    groups = [np.flatnonzero(budget == value) for value in np.unique(budget)]
    least = CURVES[curve] + 1
    groups = [rows for rows in groups if len(np.unique(n_params[rows])) >= least]
    if not groups:
        raise FitError(
            f"no compute budget has the {least} model sizes that a {curve} profile needs; "
            f"add sizes to a budget, or give the runs' budgets in a column flops_budget"
        )
    columns = [(n_params[rows], n_tokens[rows], loss[rows]) for rows in groups]
    profiles = [(np.log(n) - np.log(n).mean(), losses) for n, _, losses in columns]
    shapes = _shapes(profiles, np.log([budget[rows[0]] for rows in groups]), curve, noise)
    valleys = tuple(
        read_valley(float(budget[rows[0]]), own, shape, shapes.curve, shapes.freedom)
        for rows, own, shape in zip(groups, columns, shapes.shapes, strict=True)
    )
    return _laws(valleys, shapes)


def _shapes(profiles: Profiles, log_flops: np.ndarray, curve: str, noise: float | None) -> Shapes:
    if curve != "softened":
        return fit_shapes(profiles, curve, noise)
    # Fewer runs than parameters say nothing of a roughness.
    if not enough_runs(profiles):
        return fit_shapes(profiles, "skewed", noise)
    return fit_softened(profiles, log_flops, noise)


def _laws(valleys: tuple[Valley, ...], shapes: Shapes) -> IsoflopFit:
    kept = [i for i, valley in enumerate(valleys) if valley.bracketed]
    lost = len(valleys) - len(kept)
    reason = f"{lost} of {len(valleys)} budgets have no bracketed minimum" if lost else ""
    known_of_loss = (shapes.noise, shapes.heights[np.ix_(kept, kept)], shapes.freedom)
    if len(kept) < 2:
        reason = reason or "only one budget"
        return IsoflopFit(valleys, None, None, *known_of_loss, "degenerate", reason)
    flops, n_opt, d_opt = (
        np.array([getattr(valleys[i], name) for i in kept]) for name in ("flops", "n_opt", "d_opt")
    )
    covariance = shapes.covariance[np.ix_(kept, kept)]
    known = bool(np.isfinite(covariance).all() and (np.diag(covariance) > 0).all())
    errors = covariance if known else None
    n_law = fit_power_law(flops, n_opt, errors, shapes.freedom)
    d_law = fit_power_law(flops, d_opt, errors, shapes.freedom)
    return IsoflopFit(valleys, n_law, d_law, *known_of_loss, "converged", reason)
