"""The least loss of approaches 1 and 2 as a law of compute, with draws for its intervals."""

import numpy as np

from analysis.errors import FitError
from analysis.fits.envelope import EnvelopeFit, inner, outline
from analysis.fits.isoflop import IsoflopFit
from analysis.fits.min_loss_law import (
    E_POINTS,
    LEAST_POINTS,
    LossLaw,
    fit_loss_law,
    redrawn,
    refit_loss_law,
)
from analysis.stats.resampling import Interval, percentile_interval


def envelope_loss_law(fit: EnvelopeFit, sizes: np.ndarray) -> LossLaw:
    """The law of the envelope's own loss, where neither the smallest nor the largest size leads.

    Args:    sizes: n_params of the runs under the envelope.
    Raises:  FitError: fewer than four runs lead there, which do not tell an irreducible
             loss from a slow power law.
    """
    n_runs = len(np.unique(inner(fit.points, sizes).run))
    if n_runs < E_POINTS:
        raise FitError(
            f"{n_runs} run(s) between the smallest and the largest size lead the envelope, which "
            f"do not determine how its loss falls with compute; expected at least {E_POINTS}"
        )
    return fit_loss_law(*outline(fit.points, sizes))


def isoflop_loss_law(fit: IsoflopFit) -> LossLaw:
    """The law through the losses of the bracketed minima.

    Raises:  FitError: fewer than three of them.
    """
    if len(fit.bracketed) < LEAST_POINTS:
        raise FitError(
            f"{len(fit.bracketed)} bracketed minima do not determine how the least loss falls with "
            f"compute; expected at least {LEAST_POINTS}, and {E_POINTS} for an irreducible loss E"
        )
    flops, loss = _minima(fit)
    return fit_loss_law(flops, loss, _loss_errors(fit))


def isoflop_loss_draws(
    law: LossLaw, fit: IsoflopFit, n_draws: int, rng: np.random.Generator
) -> LossLaw:
    """The laws of minima redrawn with their errors; resampled runs often leave no minimum at all.

    Raises:  FitError: the errors of the minima are not known.
    """
    errors = _loss_errors(fit)
    if errors is None:
        raise FitError("the runs do not tell their own noise, so the least losses have no errors")
    flops, loss = _minima(fit)
    # Where the minima scatter about the law by more than their errors say, the errors are enlarged.
    pulls = np.log(loss / np.asarray(law(flops))) / errors
    freedom = len(loss) - (3 if law.n_points >= E_POINTS else 2)
    scale = max(1.0, float(pulls @ pulls) / freedom) if freedom > 0 else 1.0
    drawn = redrawn(np.asarray(law(flops)), scale * fit.loss_errors, fit.freedom, n_draws, rng)
    return refit_loss_law(law, flops, drawn, errors)


def _minima(fit: IsoflopFit) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([profile.flops for profile in fit.bracketed]),
        np.array([profile.loss for profile in fit.bracketed]),
    )


def _loss_errors(fit: IsoflopFit) -> np.ndarray | None:
    variance = np.diag(fit.loss_errors)
    return np.sqrt(variance) if bool(np.all(variance > 0)) else None


def loss_law_intervals(draws: LossLaw) -> dict[str, Interval]:
    """Intervals of a loss law's irreducible loss and exponent."""
    return {name: percentile_interval(np.asarray(getattr(draws, name))) for name in ("E", "g")}
