"""From outcomes to measurements: every metric that applies, its mean, interval and item count."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.big_bench import guessed, of_big_bench_values
from eval.metrics.outcome import Outcome
from eval.metrics.per_item import (
    ITEM_METRICS,
    MAX_POSITIONS,
    Z_95,
    ItemMetric,
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
    it, from 1), in `n_first` every item (else the first n of the draw). `chance` is what a uniform
    guess among each item's choices scores on average, None for metrics without choices.
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
    stderr: float | None = None


def measure(outcomes: Sequence[Outcome]) -> list[Measurement]:
    """Every metric that applies: over all items, by target length, and exact match of n items.

    `n_items` counts the items that a metric applies to; one that applies to none is left out.
    """
    overall = _columns(outcomes, ITEM_METRICS)
    measurements = list(_means(overall))
    measurements += _calibration(outcomes)
    measurements += of_big_bench(outcomes)
    for n in RESOLUTIONS:
        if n <= len(outcomes):
            measurements += _means({"exact_match": overall["exact_match"][:n]}, n_first=n)
    lengths = np.array([len(one.target_tokens) - one.n_leading for one in outcomes])
    if len(distinct := np.unique(lengths)) <= MAX_LENGTHS:
        hits = {
            i: _columns(outcomes, {"token_accuracy": token_accuracy_at(i)})
            for i in range(1, MAX_POSITIONS + 1)
        }
        for length in distinct.tolist():
            for position, columns in [(None, overall), *hits.items()]:
                chosen = {name: column[lengths == length] for name, column in columns.items()}
                measurements += _means(chosen, target_length=length, position=position)
    return [_with_chance(one, outcomes, lengths) for one in measurements]


_OF_CHOICES = ("multiple_choice_grade", "multiple_choice_grade_per_character")


def _with_chance(
    one: Measurement, outcomes: Sequence[Outcome], lengths: NDArray[np.int64]
) -> Measurement:
    """A measurement with what guessing scores on the same items, where choices are graded."""
    if one.metric not in _OF_CHOICES:
        return one
    own = [
        outcome
        for outcome, length in zip(outcomes, lengths, strict=True)
        if one.target_length in (None, length)
    ]
    return replace(one, chance=guessed(own))


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


def _means(columns: Mapping[str, NDArray[np.float64]], **part: int | None) -> Iterator[Measurement]:
    for name, column in columns.items():
        values = column[~np.isnan(column)]
        if len(values):
            low, high = interval(values)
            yield Measurement(name, float(values.mean()), low, high, len(values), **part)


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
