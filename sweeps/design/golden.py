"""The learning rate of least loss by golden section in its logarithm, from a first guess.

First the guess and a factor to either side of it; then further out, by growing steps, while the
best lies at an end; then golden section between the best rate's neighbours. What to train next
follows from what was trained alone, so that a search that was killed goes on where it was.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sweeps.spec.design import TuneSpec

GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Located:
    """The best rate of a cell, its neighbours, and why the search stopped short, if it did."""

    rate: float
    low: float
    high: float
    reason: str = ""


def proposals(spec: TuneSpec, guess: float, tried: Mapping[float, float]) -> tuple[float, ...]:
    """The rates to train next; none where the search is over.

    Args:
        spec: How to search.
        guess: The rate that a rule gives.
        tried: Loss by rate, as `rounded` gave it; infinite where the run diverged.
    """
    first = tuple(rounded(guess * spec.factor**k) for k in (0, -1, 1))
    missing = tuple(rate for rate in first if rate not in tried)
    if missing:
        return missing
    if len(tried) >= spec.most or not any(map(math.isfinite, tried.values())):
        return ()
    rates = sorted(tried)
    best = min(rates, key=lambda rate: tried[rate])
    place = rates.index(best)
    if place in (0, len(rates) - 1):
        inner = rates[1] if place == 0 else rates[-2]
        return (rounded(best * (best / inner) ** (1 + GOLDEN)),)
    low, high = rates[place - 1], rates[place + 1]
    # A fourth rate always: three give a parabola without a scatter.
    if high / low <= spec.within * 1.001 and len(tried) > 3:
        return ()
    farther = high if high / best > best / low * 1.001 else low
    new = rounded(best * (farther / best) ** (1 - GOLDEN))
    return () if new in tried else (new,)


def located(spec: TuneSpec, tried: Mapping[float, float]) -> Located:
    """Where the search came to an end."""
    rates = sorted(tried)
    best = min(rates, key=lambda rate: tried[rate])
    place = rates.index(best)
    low, high = rates[max(place - 1, 0)], rates[min(place + 1, len(rates) - 1)]
    if not math.isfinite(tried[best]):
        return Located(best, low, high, f"all {len(rates)} rates diverged")
    if place in (0, len(rates) - 1):
        end = "least" if place == 0 else "largest"
        return Located(best, low, high, f"best at the {end} of {len(rates)} rates (tune.most)")
    wide = high / low > spec.within * 1.001
    return Located(best, low, high, f"stopped after {len(rates)} rates (tune.most)" if wide else "")


def rounded(rate: float) -> float:
    """Four digits: what is written into a run's spec and read back is the same rate."""
    return float(f"{rate:.3e}")
