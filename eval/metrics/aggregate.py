"""From outcomes to measurements: every metric that applies, its mean, interval and item count."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.big_bench import of_big_bench_values
from eval.metrics.chance import chance_levels, commonest_share, tokens_at
from eval.metrics.per_item import (
    ITEM_METRICS,
    MAX_POSITIONS,
    Z_95,
    ItemMetric,
    Outcome,
    exact_match,
    token_accuracy_at,
)
from eval.metrics.wilson import wilson

RESOLUTIONS = (100, 1_000, 10_000)
"""Item counts at which exact match is also reported, from the first items of the same draw."""

MAX_LENGTHS = 16
"""More target lengths than these are not broken down: they'd be texts, not answers."""

_N_RESAMPLES = 200


@dataclass(frozen=True)
class Measurement:
    """A metric over items: its value and 95 % interval.

    None in `target_length` means every length, in `position` the whole answer (else that token of
    it, from 1), in `n_first` every item (else the first n of the draw). `chance` is an accuracy
    without reading the prompt (see `eval.metrics.chance`), None for other metrics.
    """

    metric: str
    value: float
    ci_low: float
    ci_high: float
    n_items: int
    target_length: int | None = None
    position: int | None = None
    n_first: int | None = None
    chance: float | None = None


def measure(outcomes: Sequence[Outcome]) -> list[Measurement]:
    """Every metric that applies: over all items, by target length, and exact match of n items.

    `n_items` counts the items that a metric applies to; one that applies to none is left out.
    """
    overall = _columns(outcomes, ITEM_METRICS)
    chance = chance_levels(outcomes)
    measurements = list(_means(overall, chance))
    measurements += _calibration(outcomes)
    measurements += of_big_bench(outcomes)
    for n in RESOLUTIONS:
        if n <= len(outcomes):
            measurements += _means({"exact_match": overall["exact_match"][:n]}, chance, n_first=n)
    lengths = np.array([len(one.target_tokens) - one.n_leading for one in outcomes])
    distinct = np.unique(lengths)
    if len(distinct) <= MAX_LENGTHS:
        for length in distinct.tolist():
            of_length = lengths == length
            chosen = [outcome for outcome, own in zip(outcomes, of_length, strict=True) if own]
            columns = {name: column[of_length] for name, column in overall.items()}
            measurements += _means(columns, chance_levels(chosen), target_length=length)
            for position in range(1, MAX_POSITIONS + 1):
                column = _columns(chosen, {"token_accuracy": token_accuracy_at(position)})
                level = {"token_accuracy": commonest_share(tokens_at(chosen, position))}
                measurements += _means(column, level, target_length=length, position=position)
    return measurements


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of a mean: Wilson's for zeros and ones, else mean -+ 1.96 standard errors."""
    n, total = len(values), float(values.sum())
    if np.all((values == 0) | (values == 1)):
        low, high = wilson(total, n)
        return float(low), float(high)
    half = Z_95 * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return total / n - half, total / n + half


def calibration_error(confidence: ArrayLike, right: ArrayLike, n_bins: int = 10) -> float:
    """Expected calibration error: mean over items of |mean confidence - accuracy| of their bin.

    Args:    confidence: in [0, 1], shape (items,); right: 0 or 1, same shape; bins of equal width.
    Source:  Naeini, Cooper and Hauskrecht 2015.
    """
    p, y = np.asarray(confidence, float), np.asarray(right, float)
    index = np.minimum((p * n_bins).astype(int), n_bins - 1)
    gap = np.bincount(index, weights=p - y, minlength=n_bins)
    return float(np.abs(gap).sum() / len(p))


def _columns(
    outcomes: Sequence[Outcome], metrics: Mapping[str, ItemMetric]
) -> dict[str, NDArray[np.float64]]:
    """One value an item and metric, NaN where the metric does not apply."""
    return {
        name: np.array([metric(outcome) for outcome in outcomes], dtype=float)
        for name, metric in metrics.items()
    }


def _means(
    columns: Mapping[str, NDArray[np.float64]], chance: Mapping[str, float], **part: int | None
) -> Iterator[Measurement]:
    for name, column in columns.items():
        values = column[~np.isnan(column)]
        if len(values):
            low, high = interval(values)
            mean, level = float(values.mean()), chance.get(name)
            yield Measurement(name, mean, low, high, len(values), **part, chance=level)


def _calibration(outcomes: Sequence[Outcome]) -> Iterator[Measurement]:
    """Calibration of P(output) and of P(True), with percentile-bootstrap intervals over items."""
    right = np.array([exact_match(outcome) for outcome in outcomes], dtype=float)
    stated = {
        "calibration_error": [outcome.output_logprob for outcome in outcomes],
        "p_true_calibration_error": [outcome.p_true for outcome in outcomes],
    }
    for name, column in stated.items():
        values = np.array(column, dtype=float)
        p = np.exp(values) if name == "calibration_error" else values
        known = ~np.isnan(p) & ~np.isnan(right)
        if known.any():
            yield _calibrated(name, p[known], right[known])


def of_big_bench(outcomes: Sequence[Outcome]) -> Iterator[Measurement]:
    """BIG-bench's metrics over all items at once; intervals are percentile bootstraps."""
    rng = np.random.default_rng(0)
    for name, value, n_items, again in of_big_bench_values(outcomes):
        low = high = value
        if again is not None:
            draws = (rng.integers(0, n_items, n_items) for _ in range(_N_RESAMPLES))
            low, high = np.quantile([again(index) for index in draws], [0.025, 0.975])
        yield Measurement(name, value, float(low), float(high), n_items)


def _calibrated(name: str, p: NDArray[np.float64], right: NDArray[np.float64]) -> Measurement:
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, len(p), len(p)) for _ in range(_N_RESAMPLES))
    errors = [calibration_error(p[index], right[index]) for index in drawn]
    low, high = np.quantile(errors, [0.025, 0.975])
    return Measurement(name, calibration_error(p, right), float(low), float(high), len(p))
