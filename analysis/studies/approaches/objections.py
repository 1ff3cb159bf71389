"""What keeps a fit from the headline: misfit, no exponent of a law, one that its ends decide."""

import numpy as np

from analysis.stats.goodness_of_fit import FitQuality
from analysis.stats.power_law import fit_power_law

MOST_SCATTER = 0.1
"""Rms of log residuals beyond which a law does not describe its runs. Published fits leave .002 to
.03; seven sources joined in one file leave .44."""


LEAST_EXPLAINED = 0.5
"""Share of the variance of log loss below which N and D are not what the losses depend on."""


MOST_SHIFT = 0.2
"""Change of the exponent, when one end of the law is left out, beyond which it is not determined:
published exponents of all recipes and conventions span .35 to .88."""


def misfit(quality: FitQuality | None) -> list[str]:
    """A law that misses its own runs is no headline, however narrow its interval."""
    if quality is None:
        return []
    if quality.rms > MOST_SCATTER:
        return [f"it misses its own runs by {100 * quality.rms:.0f} % (rms)"]
    if quality.share_explained < LEAST_EXPLAINED:
        return [f"it explains {100 * quality.share_explained:.0f} % of the spread of the losses"]
    return []


def unstable(flops: np.ndarray, n_params: np.ndarray, a: float) -> list[str]:
    """An exponent that moves with its first or last point is no law.

    Args:
        flops: Compute of the optima, shape (points,), sorted.
        n_params: Their sizes, shape (points,).
        a: The exponent through all of them.
    """
    if len(np.unique(flops)) < 3:
        return []
    inside = [flops > flops.min(), flops < flops.max()]
    shifts = [fit_power_law(flops[rows], n_params[rows]).exponent - a for rows in inside]
    shift = max(shifts, key=abs)
    if abs(shift) <= MOST_SHIFT:
        return []
    end = "last" if shift == shifts[1] else "first"
    return [f"its exponent moves by {shift:+.2f} when the {end} optimum is left out"]


def no_law(a: float) -> list[str]:
    """An exponent outside (0, 1) says that model or data should shrink as compute grows."""
    if np.isfinite(a) and not 0 < a < 1:
        return [f"its exponent of N_opt, {a:.3g}, lies outside (0, 1)"]
    return []
