"""Approach 2 of Hoffmann et al. 2022: each budget's loss against log N, and its minimum.

The minima are then joined by power laws N_opt ~ C^a and D_opt ~ C^b, each weighted by its own
uncertainty. A minimum that the runs do not bracket is kept, with its reason, but no law is drawn
through it.
"""

from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import FitError, Status
from analysis.fits.isoflop_akima import fit_akima
from analysis.fits.isoflop_polynomials import fit_polynomials
from analysis.fits.isoflop_profile import IsoflopProfile, read_profile
from analysis.fits.isoflop_shapes import CURVES, Profiles, Shapes, seed_noise
from analysis.fits.isoflop_softened import fit_softened
from analysis.stats.power_law import PowerLaw, fit_power_law

WEIGHTS = ("errors", "equal")
"""How minima enter the power laws: by their own errors, or all alike."""


@dataclass(frozen=True)
class IsoflopFit:
    """The profiles, and the laws through those that are bracketed (None with fewer than two).

    `loss_errors` is the covariance of the logs of the bracketed minima's losses, known to `freedom`
    degrees of freedom. `noise` is the relative standard deviation of a loss that the errors are
    from, `seed_noise` that of runs which repeat a budget and a size (NaN without any), with its
    degrees of freedom. `reason` holds all that was lost or done otherwise than asked.
    """

    profiles: tuple[IsoflopProfile, ...]
    n_law: PowerLaw | None
    d_law: PowerLaw | None
    noise: float
    seed_noise: tuple[float, float]
    loss_errors: np.ndarray
    freedom: float
    status: Status
    reason: str

    @property
    def bracketed(self) -> tuple[IsoflopProfile, ...]:
        return tuple(profile for profile in self.profiles if profile.bracketed)

    @property
    def curve(self) -> str:
        """The kind of profile that was fitted, which may differ from the one asked for."""
        return self.profiles[0].curve

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
    curve: str = "softened",
    noise: float | None = None,
    weights: str = "errors",
) -> IsoflopFit:
    """Fit each budget's profile and the power laws through the minima.

    Args:    budget: compute budget of each run, equal for the runs of one profile, FLOPs, (runs,).
             n_params, n_tokens, loss: (runs,), > 0.
             curve: the profile in log N, one of CURVES: softened (parabolas with one skewness for
             all and a random roughness), skewed (the same without roughness), parabola, cubic, or
             Akima's interpolation through every run.
             noise: relative standard deviation of the loss between seeds; estimated when None.
             weights: of the minima in the power laws, one of WEIGHTS.
    Raises:  FitError: no budget has as many model sizes as the curve needs.
    """
    for name, value, known in (("profile", curve, CURVES), ("weights", weights, WEIGHTS)):
        if value not in known:
            raise FitError(f"{name} {value!r} is unknown; expected one of {', '.join(known)}")
    if noise is not None and not noise > 0:
        raise FitError(f"noise={noise} must be positive; give the relative SD of a loss")
    groups = [np.flatnonzero(budget == value) for value in np.unique(budget)]
    least = CURVES[curve] + 1
    groups = [rows for rows in groups if len(np.unique(n_params[rows])) >= least]
    if not groups:
        raise FitError(
            f"no compute budget has the {least} model sizes that a {curve} profile needs; "
            f"add sizes to a budget, or give the runs' budgets in a column flops_budget"
        )
    columns = [(n_params[rows], n_tokens[rows], loss[rows]) for rows in groups]
    points = [(np.log(n) - np.log(n).mean(), losses) for n, _, losses in columns]
    shapes = _shapes(points, np.log([budget[rows[0]] for rows in groups]), curve, noise)
    profiles = tuple(
        read_profile(float(budget[rows[0]]), own, shape, lift, shapes.curve, shapes.freedom)
        for rows, own, shape, lift in zip(
            groups, columns, shapes.shapes, np.sqrt(np.diag(shapes.heights)), strict=True
        )
    )
    return _laws(profiles, shapes, seed_noise(points), weights)


def _shapes(points: Profiles, log_flops: np.ndarray, curve: str, noise: float | None) -> Shapes:
    if curve == "akima":
        return fit_akima(points, noise)
    if curve != "softened":
        return fit_polynomials(points, curve, noise)
    softened = fit_softened(points, log_flops, noise)
    if softened is not None:
        return softened
    skewed = fit_polynomials(points, "skewed", noise)
    note = "too few runs near the minima for softened profiles, so their roughness was not fitted"
    return replace(skewed, note="; ".join(filter(None, (note, skewed.note))))


def _laws(
    profiles: tuple[IsoflopProfile, ...],
    shapes: Shapes,
    repeated: tuple[float, float],
    weights: str,
) -> IsoflopFit:
    kept = [i for i, profile in enumerate(profiles) if profile.bracketed]
    n_law = d_law = None
    if len(kept) > 1:
        flops, n_opt, d_opt, slope = (
            np.array([getattr(profiles[i], name) for i in kept])
            for name in ("flops", "n_opt", "d_opt", "slope")
        )
        covariance = shapes.covariance[np.ix_(kept, kept)]
        known = bool(np.isfinite(covariance).all() and (np.diag(covariance) > 0).all())
        if known and weights == "errors":
            n_law = fit_power_law(flops, n_opt, covariance, shapes.freedom)
            # log D follows log N along the runs of a budget.
            turned = covariance * np.outer(slope, slope)
            d_law = fit_power_law(flops, d_opt, turned, shapes.freedom)
        else:
            n_law, d_law = fit_power_law(flops, n_opt), fit_power_law(flops, d_opt)
    status, reasons = _status(profiles, n_law)
    return IsoflopFit(
        profiles=profiles,
        n_law=n_law,
        d_law=d_law,
        noise=shapes.noise,
        seed_noise=repeated,
        loss_errors=shapes.heights[np.ix_(kept, kept)],
        freedom=shapes.freedom,
        status=status,
        reason="; ".join(filter(None, (*reasons, shapes.note))),
    )


def _status(
    profiles: tuple[IsoflopProfile, ...], n_law: PowerLaw | None
) -> tuple[Status, list[str]]:
    """Degenerate where half of the minima are lost, or the law is one that no budget could follow;
    and everything that was lost.
    """
    reasons, status = [], "converged"
    lost = sum(not profile.bracketed for profile in profiles)
    if lost:
        reasons.append(f"{lost} of {len(profiles)} budgets have no bracketed minimum")
        # Minima on one side of the grid are lost together, so those that are left are a selection.
        status = "degenerate" if 2 * lost >= len(profiles) else status
    if n_law is None:
        return "degenerate", reasons or ["only one budget"]
    if not 0 < n_law.exponent < 1:
        reasons.append(
            f"N_opt ~ C^{n_law.exponent:.3g} is outside of (0, 1): with it N or D would shrink as "
            f"compute grows"
        )
        status = "degenerate"
    return status, reasons
