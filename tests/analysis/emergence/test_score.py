"""The emergence score against its published properties; transitions against known parameters."""

import math

import numpy as np
import pytest

from analysis.emergence.score import (
    bootstrap_mean,
    chance_null,
    emergence_score,
    fit_transition,
    mean_by,
    permutation_null,
    plateau,
)


@pytest.mark.parametrize("n_points", [3, 8, 50])
@pytest.mark.parametrize("slope", [0.01, -3.0])
def test_a_straight_line_of_m_points_scores_m_minus_1(n_points: int, slope: float) -> None:
    score = emergence_score(np.arange(n_points), slope * np.arange(n_points))
    assert score == pytest.approx(math.copysign(n_points - 1, slope))


def test_constant_infinite_and_hand_computed_scores() -> None:
    assert emergence_score([1, 2, 3], [5, 5, 5]) == 0
    assert emergence_score([1, 2, 3, 4], [0, 0, 0, 1]) == math.inf
    assert emergence_score([1, 2, 3, 4], [1, 1, 1, 0]) == -math.inf
    squared_steps = np.median([0.01, 0.04, 0.25])
    assert emergence_score([1, 2, 3, 4], [0, 0.1, 0.3, 0.8]) == pytest.approx(
        0.8 / math.sqrt(squared_steps)
    )


def test_the_score_sorts_by_scale_and_ignores_its_spacing() -> None:
    y = np.array([0.0, 0.1, 0.15, 0.9, 1.0])
    expected = emergence_score(np.arange(5), y)
    order = np.array([3, 0, 4, 1, 2])
    assert emergence_score(order, y[order]) == expected
    assert emergence_score(10.0 ** np.arange(5), 7 * y - 3) == pytest.approx(expected)


def test_the_null_of_noise_has_the_published_quantiles() -> None:
    null = chance_null(np.arange(12), np.arange(12.0))
    assert null.median == pytest.approx(3.3, abs=0.05)
    assert null.q95 == pytest.approx(6.4, abs=0.25)
    sharp = chance_null(np.arange(12), np.r_[np.linspace(0, 0.01, 9), 0.9, 0.95, 1], n_draws=2000)
    assert sharp.p_value == pytest.approx(1 / 2001)


def test_p_values_are_uniform_when_there_is_nothing() -> None:
    rng = np.random.default_rng(1)
    x = np.arange(9)
    noise = [rng.normal(size=9) for _ in range(200)]
    for p in (
        [chance_null(x, y, 300).p_value for y in noise],
        [permutation_null(x, y, rng, 300).p_value for y in noise],
    ):
        assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.06)
        assert np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_an_ordered_rise_is_not_a_permutation() -> None:
    rng = np.random.default_rng(2)
    null = permutation_null(np.arange(10), np.r_[np.linspace(0, 0.05, 8), 0.8, 1.0], rng)
    assert null.p_value < 0.05


def test_a_transition_is_recovered_with_its_interval() -> None:
    rng = np.random.default_rng(3)
    x = np.repeat(np.geomspace(1e3, 1e6, 13), 2)
    truth = 0.05 + 0.9 / (1 + (x / 3e4) ** -2.5)
    exact = fit_transition(x, truth)
    assert exact.threshold == pytest.approx(3e4, rel=1e-3)
    assert exact.steepness == pytest.approx(2.5, rel=1e-3)
    assert (exact.low, exact.high) == pytest.approx((0.05, 0.95), abs=1e-3)
    assert exact.width == pytest.approx(2 * math.log(9) / 2.5 / math.log(10), rel=1e-3)
    assert exact.status == "converged"
    noisy = fit_transition(x, truth + 0.03 * rng.normal(size=len(x)), rng)
    low, high = noisy.threshold_interval
    assert low < 3e4 < high < 1.5 * low


def test_a_fall_is_a_transition_too() -> None:
    x = np.geomspace(1, 1e4, 15)
    fall = fit_transition(x, 3 - 2.8 / (1 + (x / 50) ** -1.5))
    assert fall.threshold == pytest.approx(50, rel=0.01)
    assert fall.high < fall.low


def test_transitions_that_were_not_seen_say_so() -> None:
    x = np.geomspace(1, 100, 8)
    assert fit_transition(x, np.ones(8)).status == "degenerate"
    assert fit_transition(x[:3], [0, 0, 1]).status == "degenerate"
    assert fit_transition(x, np.r_[np.zeros(7), 1.0]).status == "bound_hit"


def test_plateaus_are_stretches_of_two_steps_or_more() -> None:
    x = [1, 2, 3, 4, 5, 6]
    assert plateau(x, [0, 0.01, 0.02, 0.5, 0.51, 1]) == [(1, 3)]
    assert plateau(x, np.arange(6.0)) == []
    assert plateau(x, [0, 1, 1, 1, 1, 1]) == [(2, 6)]


def test_means_over_seeds() -> None:
    x, y = mean_by([2, 1, 2, 1], [4, 1, 6, 3])
    assert (x.tolist(), y.tolist()) == ([1, 2], [2, 5])
    low, high = bootstrap_mean(np.r_[np.zeros(50), np.ones(50)], np.random.default_rng(0))
    assert low == pytest.approx(0.4, abs=0.03)
    assert high == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [([1], [1], "at least 2"), ([1, 2], [1], "shapes"), ([1, 2], [1, math.nan], "finite")],
)
def test_bad_points_are_refused(x: list, y: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        emergence_score(x, y)
