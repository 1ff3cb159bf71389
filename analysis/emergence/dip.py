"""Hartigan's dip test: have the seeds of one size more than one mode?

The dip is the largest distance between a sample's distribution function and the unimodal one that
is nearest to it; a unimodal distribution function is convex below its mode and concave above.

Source: Hartigan and Hartigan 1985, Annals of Statistics 13, 70-84, section 6 (the algorithm); P. M.
Hartigan 1985, Applied Statistics 34, 320-325. `diptest` on PyPI is under the GPL, so it is no
dependency of a package under the Apache licence.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

N_NULL = 999
"""Uniform samples of which the p-value counts those that dip as far."""

N_POWER = 400
"""Samples of two modes that the power is simulated with."""

POWER = 0.8
LEVEL = 0.05

MODES = ((2.0, 20.0), (20.0, 2.0))
"""Beta distributions of the two modes that the power is simulated with, near .05 and .95."""

MOST_SEEDS = 60

_TIE = 1e-9


@dataclass(frozen=True)
class Dip:
    """The dip of the runs at one scale, and its p-value against one mode."""

    scale: float
    n_runs: int
    dip: float
    p_value: float


def dip_statistic(values: ArrayLike) -> float:
    """Distance of a sample's distribution function from the nearest unimodal one, 1/(2n) to 1/4.

    The modal interval shrinks as long as the bounds of its inside are further apart than what its
    outside has already cost.

    Args:    values: shape (n,), n >= 1; ties are a steep rise, as an atom is.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    spread = float(ordered[-1] - ordered[0])
    # Equal values stand a billionth of the range apart, so that every slope is finite.
    x = (ordered + _TIE * spread * np.arange(n)).tolist()
    lower, upper = list(range(n)), list(range(1, n + 1))
    first, last, widest = 0, n - 1 if spread else 0, 1.0
    while first < last:
        convex = _hull(x, lower, first, last, 1)
        concave = _hull(x, upper, first, last, -1)
        below, above = _along(x, lower, convex), _along(x, upper, concave)
        gap, left, right = _narrowed(convex, concave, below, above, first)
        if gap <= widest:
            break
        outside = [upper[i] - below[i - first] for i in range(first, left + 1)]
        outside += [above[i - first] - lower[i] for i in range(right, last + 1)]
        widest = max(widest, *outside)
        if (left, right) == (first, last):
            break
        first, last = left, right
    return widest / (2 * n)


def _hull(x: list[float], y: list[int], first: int, last: int, side: int) -> list[int]:
    """Indices of the corners of the convex (side 1) or concave (-1) bound of points first..last."""
    corners: list[int] = []
    for i in range(first, last + 1):
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            turn = (x[b] - x[a]) * (y[i] - y[a]) - (y[b] - y[a]) * (x[i] - x[a])
            if side * turn > 0:
                break
            corners.pop()
        corners.append(i)
    return corners


def _along(x: list[float], y: list[int], corners: list[int]) -> list[float]:
    """Heights of the bound at every point between its first and its last corner."""
    heights = [float(y[corners[0]])]
    for a, b in itertools.pairwise(corners):
        slope = (y[b] - y[a]) / (x[b] - x[a])
        heights += [y[a] + slope * (x[i] - x[a]) for i in range(a + 1, b + 1)]
    return heights


def _narrowed(
    convex: list[int], concave: list[int], below: list[float], above: list[float], first: int
) -> tuple[float, int, int]:
    """(largest gap between the bounds at a corner, the modal interval's new ends)."""
    gap, left, right = -1.0, first, first
    for i in convex:
        if above[i - first] - below[i - first] > gap:
            gap, left = above[i - first] - below[i - first], i
            right = next(j for j in concave if j >= i)
    for j in concave:
        if above[j - first] - below[j - first] > gap:
            gap, right = above[j - first] - below[j - first], j
            left = next(i for i in reversed(convex) if i <= j)
    return gap, left, right


def dip_test(scale: float, values: ArrayLike) -> Dip:
    """The dip with the share of uniform samples of this size that dip as far.

    The uniform distribution is the unimodal one whose samples dip furthest, so that the p-value
    holds for every unimodal one.
    """
    found = dip_statistic(values)
    n = len(np.asarray(values))
    as_large = int((_null(n) >= found - 1e-12).sum())
    return Dip(scale, n, found, (1 + as_large) / (1 + N_NULL))


@functools.cache
def seeds_needed() -> int:
    """Seeds at one size from which on the test finds two clear modes in `POWER` of all cases.

    Simulated: each seed falls into either of `MODES` with probability 1/2, test at `LEVEL`.
    """
    return next(n for n in range(4, MOST_SEEDS) if power(n) >= POWER)


def power(n_seeds: int) -> float:
    """Share of samples of two clear modes that the test tells from one mode at `LEVEL`."""
    rng = np.random.default_rng(n_seeds)
    critical = float(np.quantile(_null(n_seeds), 1 - LEVEL))
    lower, upper = (rng.beta(a, b, (N_POWER, n_seeds)) for a, b in MODES)
    drawn = np.where(rng.random((N_POWER, n_seeds)) < 0.5, upper, lower)
    return float(np.mean([dip_statistic(one) > critical for one in drawn]))


@functools.cache
def _null(n: int) -> Floats:
    """Dips of uniform samples of n."""
    rng = np.random.default_rng(n)
    return np.array([dip_statistic(one) for one in rng.random((N_NULL, n))])
