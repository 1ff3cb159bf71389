"""How much less compute one way of training takes than another to reach the same loss.

The first way, A, spends C FLOPs as it does best and reaches a loss; B reaches the same loss with
C / m FLOPs, spent as B does best. The multiplier m(C) is above 1 where B is the better one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from analysis.fits.min_loss_law import LossLaw
from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies import bootstrap
from analysis.studies.multiplier.frontier import Frontier, flops_for, frontier
from analysis.studies.multiplier.shared_cells import cells, counts_in_step, n_shared
from analysis.studies.study import Study

APPROACHES = ("isoflop", "parametric")
"""In the order in which a multiplier is quoted, as in the headline of a report."""

N_POINTS = 25
"""Amounts of compute along the range that both ran, for the figure and the trend."""


@dataclass(frozen=True)
class MultiplierPoint:
    """The multiplier at one amount of A's compute.

    Attributes:
        flops: What A spends, C.
        loss: What it reaches with that.
        equal_flops: What B spends for the same loss, C / m.
        value: m; 0 where B never reaches the loss.
        interval: 95 % over resamples of the runs of both.
        p_value: Of m = 1, two-sided, over the same resamples.
        loss_ratio: B's least loss at C over A's, less 1.
        loss_interval: Its 95 % interval.
        beyond: Factor by which C or C / m lies outside the compute that A or B ran; 1 within.
    """

    flops: float
    loss: float
    equal_flops: float
    value: float
    interval: Interval
    p_value: float
    loss_ratio: float
    loss_interval: Interval
    beyond: float = 1.0


@dataclass(frozen=True)
class ComputeMultiplier:
    """The multiplier of B over A by one approach.

    Attributes:
        approach: Whose least losses are compared.
        headline: At the largest compute that both sides' runs reach; None for the `reason`.
        points: Along the range that both ran, least compute first.
        asked: At the amounts of compute that were asked for, which may lie beyond.
        trend: Exponent of m ~ C^trend between the ends of the range.
        trend_interval: Its 95 % interval.
        n_shared: Cells (size, tokens, seed) that both trained, which were resampled together.
        reason: Why there is no headline.

    Examples:
        >>> from isoflop import ComputeMultiplier
        >>> ComputeMultiplier("isoflop", reason="2 bracketed minima; a headline needs 3").differs
        False
    """

    approach: str
    headline: MultiplierPoint | None = None
    points: tuple[MultiplierPoint, ...] = ()
    asked: tuple[MultiplierPoint, ...] = ()
    trend: float = float("nan")
    trend_interval: Interval = (float("nan"), float("nan"))
    n_shared: int = 0
    reason: str = ""

    @property
    def differs(self) -> bool:
        """Whether the interval of the headline leaves 1 out."""
        return self.headline is not None and not (
            self.headline.interval[0] <= 1 <= self.headline.interval[1]
        )

    def to_json(self) -> dict[str, Any]:
        """As fits.json and comparison.json have it; numbers may be NaN."""
        return asdict(self)


def multipliers(
    first: Study, second: Study, flops: Sequence[float] = ()
) -> list[ComputeMultiplier]:
    """What B (`second`) is worth over A (`first`) by each approach, those with a headline first.

    Args:
        first: A, whose compute is spared.
        second: B.
        flops: Further amounts of A's compute to ask for.
    """
    why = incomparable(first, second)
    if why:
        return [ComputeMultiplier("", reason=why)]
    found = [_by(name, first, second, flops) for name in APPROACHES]
    return sorted(found, key=lambda one: one.headline is None)


def incomparable(first: Study, second: Study) -> str:
    """Why the losses of two studies are not of the same thing; empty where they are."""
    if first.config.loss not in ("loss", "bits_per_byte"):
        return ""  # a column that the user chose: a validation set that both share
    names, prints = (
        [{str(v) for v in study.table.texts(column) if v} for study in (first, second)]
        for column in ("data", "data_fingerprint")
    )
    other_data = all(names) and names[0] != names[1]
    # Bits per byte are of the text, which another tokenizer or another share of it leaves alone.
    other_tokens = all(prints) and prints[0] != prints[1] and first.config.loss == "loss"
    if other_data or other_tokens:
        return (
            f"validated on different data ({_few(names[0])}; {_few(names[1])}), so their losses "
            f"are not of the same text; name a loss on text that both share, fit.loss=COLUMN"
        )
    if first.config.loss == "loss":
        ours, theirs = (_known(study.table.numbers("vocab_size")) for study in (first, second))
        if ours and theirs and ours != theirs:
            return "losses per token of different vocabularies; use fit.loss=bits_per_byte"
    return ""


def _by(name: str, first: Study, second: Study, flops: Sequence[float]) -> ComputeMultiplier:
    fits = [study.fits.get(name) for study in (first, second)]
    for fit, study in zip(fits, (first, second), strict=True):
        if fit is None:
            return ComputeMultiplier(name, reason=study.missing.get(name, "not fitted"))
    ours, theirs = fits
    assert ours is not None and theirs is not None
    config, n_draws = first.config, min(first.n_resamples, second.n_resamples)
    labels = (cells(first), cells(second))
    shared = n_shared(*labels)
    if not n_draws:
        return ComputeMultiplier(name, reason="without resamples (fit.n_resamples) there is no "
                                 "interval, and without one no multiplier")  # fmt: skip
    # The studies' own resamples and redrawn minima come from one seed: they would move in step.
    rng = np.random.default_rng([config.seed, 1])
    if config.resample == "runs":
        counts = counts_in_step(*labels, n_draws, rng)
    else:
        counts = tuple(
            bootstrap.counts(study.table.runs, replace(config, seed=config.seed + side), n_draws)
            for side, study in enumerate((first, second))
        )
    a, b = (frontier(fit.resampled(c)) for fit, c in zip((ours, theirs), counts, strict=True))
    for side, one in (("the first", a), ("the second", b)):
        if one.law is None or one.draws is None:
            return ComputeMultiplier(name, n_shared=shared, reason=f"{side}: {one.reason}")
    if name == "isoflop":
        assert b.draws is not None
        b = replace(b, draws=_shuffled(b.draws, rng))
    return of_frontiers(name, a, b, flops, shared)


def of_frontiers(
    name: str, a: Frontier, b: Frontier, flops: Sequence[float] = (), shared: int = 0
) -> ComputeMultiplier:
    """The multiplier between two laws of the least loss, within the compute that both ran."""
    assert a.law is not None and b.law is not None
    low = max(a.flops[0], float(flops_for(a.law, b.law(b.flops[0]))))
    high = min(a.flops[1], float(flops_for(a.law, b.law(b.flops[1]))))
    asked = tuple(_point(a, b, float(c)) for c in flops)
    if not low < high:
        reason = (
            "no loss that the runs of the first reach at their best is one that the runs of the "
            "second reach at theirs"
        )
        return ComputeMultiplier(name, asked=asked, n_shared=shared, reason=reason)
    points = tuple(_point(a, b, float(c)) for c in np.geomspace(low, high, N_POINTS))
    made = ComputeMultiplier(name, points[-1], points, asked, n_shared=shared)
    if np.isnan(made.points[-1].interval).any():
        return replace(made, headline=None, reason="too many resamples give no law of the loss")
    ends = [_values(a, b, point.flops) for point in (points[0], points[-1])]
    with np.errstate(all="ignore"):
        slopes = np.log(ends[1] / ends[0]) / np.log(high / low)
    trend = float(np.log(points[-1].value / points[0].value) / np.log(high / low))
    return replace(made, trend=trend, trend_interval=percentile_interval(slopes))


def _point(a: Frontier, b: Frontier, flops: float) -> MultiplierPoint:
    assert a.law is not None and b.law is not None and a.draws is not None and b.draws is not None
    loss = float(a.law(flops))
    equal = float(flops_for(b.law, loss))
    drawn = _values(a, b, flops)
    known = drawn[np.isfinite(drawn)]
    tails = (1 + np.array([np.sum(known <= 1), np.sum(known >= 1)])) / (len(known) + 1)
    return MultiplierPoint(
        flops,
        loss,
        equal,
        flops / equal,
        percentile_interval(drawn),
        min(1.0, 2 * float(tails.min())),
        float(b.law(flops)) / loss - 1,
        percentile_interval(np.asarray(b.draws(flops)) / np.asarray(a.draws(flops)) - 1),
        max(1.0, _outside(flops, a.flops), _outside(equal, b.flops)),
    )


def _values(a: Frontier, b: Frontier, flops: float) -> np.ndarray:
    """m of each resample, (draws,)."""
    assert a.draws is not None and b.draws is not None
    return flops / flops_for(b.draws, np.asarray(a.draws(flops)))


def _outside(value: float, ends: tuple[float, float]) -> float:
    return max(ends[0] / value, value / ends[1])


def _shuffled(law: LossLaw, rng: np.random.Generator) -> LossLaw:
    order = rng.permutation(len(np.asarray(law.E)))
    return replace(law, **{key: np.asarray(getattr(law, key))[order] for key in ("E", "drop", "g")})


def _few(values: set[str]) -> str:
    return ", ".join(sorted(values)[:3]) or "not stated"


def _known(values: np.ndarray) -> set[float]:
    return set(values[np.isfinite(values)].tolist())
