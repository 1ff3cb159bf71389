"""Akima's interpolation of loss against log N and its minimum, as Porian et al. 2024 read them."""

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from analysis.fits.isoflop_shapes import Profiles, Shape, Shapes, relative_to_mean, seed_noise

N_DRAWS = 200
"""Interpolations through losses with noise, whose spread is the error of a minimum."""

NO_NOISE = (
    "the noise between seeds is unknown, so the minima have no errors and equal weights; give it "
    "as fit.noise, or repeat sizes"
)


def akima(x: np.ndarray, loss: np.ndarray) -> Akima1DInterpolator:
    """The interpolation through the mean loss of each size."""
    sizes = np.unique(x)
    means = np.array([loss[x == size].mean() for size in sizes])
    return Akima1DInterpolator(sizes, means)


def fit_akima(profiles: Profiles, noise: float | None = None) -> Shapes:
    """Interpolate every profile; the minimum is the least point of a fine grid.

    Args:    noise: relative standard deviation of the loss between seeds. When None it is estimated
             from runs that repeat a size; without any the minima have no errors.
    """
    levels, profiles = relative_to_mean(profiles)
    noise, freedom = seed_noise(profiles) if noise is None else (noise, float("inf"))
    draws = np.random.default_rng(0)
    shapes, lifts = [], []
    for level, (x, loss) in zip(levels, profiles, strict=True):
        fine = np.linspace(x.min(), x.max(), 2001)
        values = akima(x, loss)(fine)
        best = int(values.argmin())
        position = float(fine[best]) if 0 < best < len(fine) - 1 else float("nan")
        sigma = lift = float("nan")
        if np.isfinite(noise):
            shaken = loss + noise * draws.normal(size=(N_DRAWS, len(x)))
            curves = [akima(x, row)(fine) for row in shaken]
            sigma = float(np.std([fine[curve.argmin()] for curve in curves]))
            lift = float(np.std([curve.min() for curve in curves]))
        shapes.append(Shape(np.array([]), position, level * float(values[best]), sigma))
        lifts.append(lift / float(values[best]))
    variances = np.array([shape.sigma**2 for shape in shapes])
    heights = np.diag(np.square(lifts))
    note = "" if np.isfinite(noise) else NO_NOISE
    return Shapes(tuple(shapes), np.diag(variances), heights, noise, freedom, "akima", note)
