"""What a schedule has done by each moment of a run: rate summed so far, and where it fell.

Time is counted in tokens at the peak rate, S = sum of (rate / peak) over tokens: a warm-up or a
decay makes a run older by less than its tokens. The falls of the rate are gathered into at most
NODES places, since each is summed over at every point of the curve.
"""

from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError

NODES = 64
"""Places to which a decay is gathered; more of them change a cosine's losses by under .1 %."""

ABRUPT = 0.25
"""Share of the peak by which a rate falls between two points in one step, not little by little; it
is taken to fall at the later point, as in tables whose rate is that of the step to come."""


@dataclass(frozen=True, eq=False)
class LossCurve:
    """One run's losses along training, (points,) each, tokens growing.

    Attributes:
        name: Of the run.
        size: Parameters, by which runs share a level.
        n_tokens: Tokens seen at each point.
        lr: Learning rate there.
        loss: Loss there, smoothed or not; NaN where it is not known.
    """

    name: str
    size: float
    n_tokens: np.ndarray
    lr: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True, eq=False)
class Past:
    """A schedule's past at some points of a run.

    Attributes:
        age: Tokens at the peak rate so far, (points,).
        since: Of each point and fall, the age gained since the fall, (points, falls); 0 before it.
        fall: By how much of the peak the rate fell, (falls,); negative where it rose again.
        rate: The rate after the fall, of the peak, (falls,).
    """

    age: np.ndarray
    since: np.ndarray
    fall: np.ndarray
    rate: np.ndarray


def past_of(n_tokens: np.ndarray, lr: np.ndarray, at: np.ndarray | None = None) -> Past:
    """The past of a schedule that is known at some points, linear between them.

    Args:
        n_tokens: Where the rate is known, (points,), growing and > 0; before the first point it is
            taken to have risen from 0 in a straight line, as warm-ups do.
        lr: The rates there.
        at: Tokens at which to know the past; those same points for None.

    Raises:
        FitError: Rates that are not positive and finite somewhere, or tokens that do not grow.
    """
    tokens, rates = (np.asarray(values, dtype=float) for values in (n_tokens, lr))
    if not np.all(np.isfinite(rates) & (rates >= 0)) or not rates.max(initial=0) > 0:
        raise FitError("a schedule needs learning rates that are finite and >= 0; got others")
    if not np.all(np.diff(tokens, prepend=0.0) > 0):
        raise FitError("a schedule needs tokens that grow from point to point")
    u = rates / rates.max()
    before = np.concatenate([[0.0], u[:-1]])
    abrupt = before - u >= ABRUPT
    ages = np.cumsum(np.diff(tokens, prepend=0.0) * np.where(abrupt, before, (u + before) / 2))
    where, fall, rate = _falls(ages, u, abrupt)
    age = ages if at is None else np.interp(at, np.append(0.0, tokens), np.append(0.0, ages))
    return Past(age, np.maximum(age[:, None] - where, 0.0), fall, rate)


def _falls(
    ages: np.ndarray, u: np.ndarray, abrupt: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Age, size and rate of each fall after the peak, gathered to at most NODES of them."""
    peak = int(u.argmax())
    fall = u[peak:-1] - u[peak + 1 :]
    middle = (ages[peak:-1] + ages[peak + 1 :]) / 2
    where, rate = np.where(abrupt[peak + 1 :], ages[peak + 1 :], middle), u[peak + 1 :]
    kept = np.flatnonzero(np.abs(fall) > 1e-12)
    fall, where, rate = fall[kept], where[kept], rate[kept]
    if len(fall) <= NODES:
        return where, fall, np.maximum(rate, 1e-3)
    weight = np.abs(fall)
    bins = np.minimum((np.cumsum(weight) / weight.sum() * NODES).astype(int), NODES - 1)
    total = np.bincount(bins, weight, NODES)
    used = total > 0
    gathered = [np.bincount(bins, weight * v, NODES)[used] / total[used] for v in (where, rate)]
    return gathered[0], np.bincount(bins, fall, NODES)[used], np.maximum(gathered[1], 1e-3)
