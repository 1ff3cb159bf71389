"""Seeds as a distribution: how many models of a size have an ability, and is it one mode or two.

Runs of one size that differ by their seed alone can end at .10 and at .91; their mean describes
neither. What scales then is the share of seeds that have the ability (Zhao et al. 2025): two modes
that stay where they are, and a weight that moves from the lower to the upper one as N grows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.emergence.dip import Dip, dip_test, seeds_needed
from analysis.emergence.score import MIN_POINTS, Null, chance_null, emergence_score
from analysis.emergence.two_modes import N_SIMULATED, Mixture, two_modes
from eval.metrics.wilson import wilson

Floats = NDArray[np.float64]

APART = 0.3
"""Seeds of one size whose accuracies differ by more than this are not summed up by their mean."""

MIN_RUNS = 12
"""Fewer runs than these can't tell one moving mode from two: the models have 5 and 6 parameters."""


@dataclass(frozen=True)
class SizeShare:
    """The runs of one size: their values, ascending, and how many reach the level."""

    scale: float
    values: tuple[float, ...]
    n_have: int
    interval: tuple[float, float]

    @property
    def share(self) -> float:
        return self.n_have / len(self.values)

    @property
    def spread(self) -> float:
        return self.values[-1] - self.values[0]


@dataclass(frozen=True)
class SeedStudy:
    """An accuracy over scale as a distribution over seeds.

    `level` is what counts as having the ability, half-way from chance to 1. `score` is the
    emergence score of the share with its null, None below three sizes. `mixture` is None where too
    few runs were made, or where no size has seeds that are `APART`. `dips` has Hartigan's test of
    each size with enough seeds for it, `seeds_needed`.
    """

    metric: str
    level: float
    sizes: tuple[SizeShare, ...]
    score: float | None
    chance: Null | None
    mixture: Mixture | None
    dips: tuple[Dip, ...]
    seeds_needed: int

    @property
    def apart(self) -> list[SizeShare]:
        """Sizes whose seeds differ so much that their mean describes no model."""
        return [size for size in self.sizes if size.spread > APART]


def study_seeds(
    metric: str,
    scale: ArrayLike,
    values: ArrayLike,
    rng: np.random.Generator,
    chance: float = 0.0,
    n_simulated: int = N_SIMULATED,
) -> SeedStudy | None:
    """The distribution over seeds of an accuracy; None where no size has two runs.

    Args:    scale, values: one entry a run, shape (runs,); values in [0, 1].
    """
    x, y = np.asarray(scale, float), np.asarray(values, float)
    level = (1 + chance) / 2
    sizes = tuple(_size(one, np.sort(y[x == one]), level) for one in np.unique(x))
    if all(len(size.values) < 2 for size in sizes):
        return None
    shares = [size.share for size in sizes]
    scales = [size.scale for size in sizes]
    enough = len(sizes) >= MIN_POINTS
    apart = any(size.spread > APART for size in sizes)
    return SeedStudy(
        metric=metric,
        level=level,
        sizes=sizes,
        score=emergence_score(scales, shares) if enough else None,
        chance=chance_null(scales, shares) if enough else None,
        mixture=two_modes(x, y, rng, n_simulated)
        if apart and enough and len(y) >= MIN_RUNS
        else None,
        dips=tuple(
            dip_test(size.scale, size.values)
            for size in sizes
            if len(size.values) >= seeds_needed()
        ),
        seeds_needed=seeds_needed(),
    )


def _size(scale: float, values: Floats, level: float) -> SizeShare:
    n_have = int((values >= level).sum())
    low, high = wilson(n_have, len(values))
    return SizeShare(float(scale), tuple(values.tolist()), n_have, (float(low), float(high)))
