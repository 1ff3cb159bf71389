"""Emergence scores of many curves at once, and what chance alone would score.

Noise around one level has no unit, so its scores depend on the number of points alone: one
simulation serves every curve of that length. Orders of a curve's own values are its own, but the
orders themselves are shared by all curves of one length.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CHANCE_DRAWS = 100_000
"""Simulated noise curves per length: p-values down to 1e-5, in about .2 s per length."""

ORDERS = 2000
"""Random orders of a curve's values; fewer points than `ENUMERATED` have all of theirs."""

ENUMERATED = 6
_CHUNK = 2_000_000
"""Values scored at a time, so that 5,000 curves need no more memory than a few."""


@dataclass(frozen=True)
class Null:
    """A score under chance: quantiles of |score|, and P(|null| >= |score|) with add-one."""

    kind: str
    n_draws: int
    median: float
    q95: float
    p_value: float


def median_chance_null(score: float, n_points: Sequence[int], n_draws: int = CHANCE_DRAWS) -> Null:
    """The null of noise around one level for the median score of several curves.

    Args:    score: that median; n_points: of each curve.
    """
    drawn = [_noise_scores(n, n_draws, seed) for seed, n in enumerate(n_points)]
    return _median_null("chance", score, drawn)


def median_permutation_null(
    score: float, curves: Sequence[Floats], rng: np.random.Generator, n_draws: int = ORDERS
) -> Null:
    """The null of each curve's own values in any order, for the median score of the curves.

    Args:    score: that median; curves: (points,) each, in order of scale.
    """
    drawn = [row_scores(rng.permuted(np.tile(own, (n_draws, 1)), axis=1)) for own in curves]
    return _median_null("permutation", score, drawn)


def median_score(scores: ArrayLike) -> float:
    """The median of the scores of several curves, by sign: opposite jumps cancel, 0 for +-inf."""
    return float(_medians(np.atleast_2d(np.asarray(scores, float)).T)[0])


def _median_null(kind: str, score: float, drawn: Sequence[Floats]) -> Null:
    medians = np.sort(np.abs(_medians(np.stack(drawn))))
    return _nulls(kind, np.array([score]), medians[None])[0]


def _medians(scores: Floats) -> Floats:
    """Over the first axis, (curves, draws) -> (draws,); of inf and -inf in the middle 0."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.median(scores, axis=0), nan=0.0, posinf=np.inf, neginf=-np.inf)


def row_scores(y: Floats) -> Floats:
    """Emergence score of each row, (rows, points) -> (rows,); points in order of scale.

    See `analysis.emergence.score.emergence_score` for the definition.
    """
    # The median of squares is that of sizes, squared; for an even number of steps it is the mean of
    # two squares.
    steps = np.sort(np.abs(np.diff(y, axis=1)), axis=1)
    n_steps = steps.shape[1]
    low, high = steps[:, (n_steps - 1) // 2], steps[:, n_steps // 2]
    step = low if n_steps % 2 else np.sqrt((low**2 + high**2) / 2)
    rise = np.ptp(y, axis=1)
    sign = np.sign(np.argmax(y, axis=1) - np.argmin(y, axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rise == 0, 0.0, sign * rise / step)


def chance_nulls(scores: Floats, n_points: int, n_draws: int = CHANCE_DRAWS) -> list[Null]:
    """The null of noise around one level for the scores of curves with `n_points` points each.

    Args:    scores: shape (curves,), infinite ones allowed.
    """
    drawn = _chance_scores(n_points, n_draws)
    return _nulls("chance", scores, np.broadcast_to(drawn, (len(scores), n_draws)))


def permutation_nulls(y: Floats, rng: np.random.Generator, n_draws: int = ORDERS) -> list[Null]:
    """The null of the same values in any order, for each row of (curves, points).

    Up to `ENUMERATED` points every order is scored once, otherwise `n_draws` random ones, the same
    for all curves.
    """
    n_points = y.shape[1]
    orders = _orders(n_points, rng, n_draws)
    found: list[Null] = []
    rows = max(1, _CHUNK // orders.size)
    for start in range(0, len(y), rows):
        part = y[start : start + rows]
        shuffled = part[:, orders].reshape(-1, n_points)
        drawn = np.sort(np.abs(row_scores(shuffled)).reshape(len(part), -1), axis=1)
        found += _nulls("permutation", row_scores(part), drawn)
    return found


def _orders(n_points: int, rng: np.random.Generator, n_draws: int) -> NDArray[np.int64]:
    if n_points <= ENUMERATED and math.factorial(n_points) <= n_draws:
        return np.array(list(itertools.permutations(range(n_points))))
    return rng.permuted(np.tile(np.arange(n_points), (n_draws, 1)), axis=1)


@functools.lru_cache(maxsize=64)
def _chance_scores(n_points: int, n_draws: int) -> Floats:
    """Sorted |scores| of noise; seeded by its size, so that one table has one null in every run."""
    return np.sort(np.abs(_noise_scores(n_points, n_draws)))


@functools.lru_cache(maxsize=16)
def _noise_scores(n_points: int, n_draws: int, curve: int = 0) -> Floats:
    """Scores of noise in the order drawn, for one of several curves of one length."""
    rng = np.random.default_rng([20230428, n_points, *([curve] if curve else [])])
    return row_scores(rng.standard_normal((n_draws, n_points)))


def _nulls(kind: str, scores: Floats, drawn: Floats) -> list[Null]:
    """A Null per score from its row of sorted |scores| under chance, (curves, draws)."""
    n_draws = drawn.shape[1]
    # The order statistics at or above the quantile, as "higher" of numpy's.
    median, q95 = (drawn[:, math.ceil(q * (n_draws - 1))] for q in (0.5, 0.95))
    bound = np.abs(scores) * (1 - 1e-12)
    as_large = [n_draws - np.searchsorted(row, b) for row, b in zip(drawn, bound, strict=True)]
    return [
        Null(kind, n_draws, float(m), float(q), (1 + int(n)) / (1 + n_draws))
        for m, q, n in zip(median, q95, as_large, strict=True)
    ]
