"""Seeds as a distribution: shares, and two fixed modes against one that moves."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from analysis.emergence import two_modes as modes
from analysis.emergence.null import median_chance_null, median_permutation_null, median_score
from analysis.emergence.score import chance_null, emergence_score, in_all
from analysis.emergence.seeds import study_seeds
from analysis.emergence.two_modes import two_modes

SIZES = np.geomspace(1e3, 1e5, 7)


def models(kind: str, n_seeds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies whose mode moves with N, or of two modes whose weight moves; half at N = 1e4."""
    rng = np.random.default_rng(seed)
    x = np.repeat(SIZES, n_seeds)
    share = 1 / (1 + (x / 1e4) ** -3)
    if kind == "one":
        return x, rng.beta(1 + 40 * share, 1 + 40 * (1 - share))
    has = rng.random(len(x)) < share
    return x, np.where(has, rng.beta(20, 2, len(x)), rng.beta(2, 30, len(x)))


@pytest.mark.parametrize("seed", range(3))
def test_two_modes_are_found_with_their_places_and_their_shift(seed: int) -> None:
    fit = two_modes(*models("two", 6, seed), np.random.default_rng(0), n_simulated=19)
    assert fit.p_value == 0.05
    assert fit.log_ratio > 10
    assert (fit.low, fit.high) == pytest.approx((0.04, 0.95), abs=0.05)
    assert 4e3 < fit.half < 2.5e4
    assert fit.share(fit.half) == pytest.approx(0.5)
    assert fit.share(fit.half * 10 ** (fit.width / 2)) == pytest.approx(0.9)
    assert fit.half_interval[0] < 1e4 < fit.half_interval[1]
    assert fit.width_interval[0] < fit.width < fit.width_interval[1]


def test_the_interval_of_a_shift_between_two_sizes_spans_the_gap() -> None:
    """Shares of 0 and 1 alone: the centre may lie anywhere between, and the width be 0."""
    x = np.repeat(SIZES, 3)
    y = np.where(x > 1.2e4, 0.93, 0.03) + 0.02 * np.random.default_rng(0).random(len(x))
    fit = two_modes(x, y, np.random.default_rng(0), n_simulated=0)
    gap = (SIZES[3], SIZES[4])
    assert fit.half_interval[0] < gap[0] * 1.05
    assert fit.half_interval[1] > gap[1] * 0.95
    assert fit.width_interval[0] == pytest.approx(0, abs=1e-6)
    more = two_modes(*models("two", 6, 0), np.random.default_rng(0), n_simulated=0)
    many = two_modes(*models("two", 40, 0), np.random.default_rng(0), n_simulated=0)
    assert np.ptp(np.log(many.half_interval)) < 0.6 * np.ptp(np.log(more.half_interval))


@pytest.mark.parametrize("seed", range(3))
def test_one_mode_that_moves_is_not_taken_for_two(seed: int) -> None:
    fit = two_modes(*models("one", 4, seed), np.random.default_rng(0), n_simulated=19)
    assert fit.p_value > 0.1
    assert fit.log_ratio < 0


def test_gradients_are_those_of_the_densities() -> None:
    x, y = models("two", 2, 0)
    x, y = np.log(x / 1e4), np.clip(y, 1e-3, 1 - 1e-3)
    for density, start in (
        (modes._moving, [-2.0, 1.0, -1.5, 0.7, 0.2]),
        (modes._fixed, [-2.0, 1.0, -1.5, -2.5, 0.7, 0.2]),
    ):
        error = check_grad(
            lambda p, density=density: float(density(p, x, y)[0].sum()),
            lambda p, density=density: density(p, x, y)[1].sum(axis=1),
            np.array(start),
        )
        assert error < 1e-4


def test_shares_count_seeds_that_reach_half_way_from_chance() -> None:
    x = np.repeat([1e3, 1e4, 1e5], 4)
    y = [0.25, 0.3, 0.2, 0.26, 0.3, 0.7, 0.6, 0.9, 0.9, 0.95, 0.99, 0.9]
    found = study_seeds("multiple_choice_grade", x, y, np.random.default_rng(0), chance=0.25)
    assert found is not None
    assert found.level == 0.625
    assert [size.n_have for size in found.sizes] == [0, 2, 4]
    assert found.sizes[1].interval == pytest.approx((0.15, 0.85), abs=0.01)
    assert [size.scale for size in found.apart] == [1e4]
    assert found.score == pytest.approx(2)


def test_seeds_that_agree_need_no_test_and_single_runs_have_no_distribution() -> None:
    rng = np.random.default_rng(0)
    x, y = np.repeat(SIZES, 3), np.repeat(np.linspace(0, 1, 7), 3)
    agreed = study_seeds("exact_match", x, y, rng)
    assert agreed is not None
    assert (agreed.apart, agreed.mixture) == ([], None)
    assert study_seeds("exact_match", SIZES, np.linspace(0, 1, 7), rng) is None
    few = study_seeds("exact_match", [1e3, 1e3, 1e4, 1e4, 1e5], [0, 0, 0, 1, 1], rng)
    assert few is not None
    assert len(few.apart) == 1
    assert few.mixture is None, "five runs can't tell one mode from two"


def test_the_score_of_seeds_is_their_median_by_sign() -> None:
    assert median_score([14.9, 62.3]) == pytest.approx(38.6), "neither of two stands for both"
    assert median_score([5.0, 9.0, 7.0]) == 7.0
    assert median_score([-5.0, 5.0]) == 0.0
    assert median_score([3.0, np.inf]) == np.inf
    assert median_score([-np.inf, np.inf]) == 0.0


def test_the_null_of_a_median_is_that_of_medians_of_curves_of_noise() -> None:
    rng = np.random.default_rng(5)

    def drawn() -> float:
        return abs(median_score([emergence_score(range(7), rng.normal(size=7)) for _ in range(3)]))

    null = median_chance_null(4.0, [7, 7, 7])
    simulated = np.array([drawn() for _ in range(4000)])
    assert null.median == pytest.approx(np.median(simulated), rel=0.05)
    assert null.q95 == pytest.approx(np.quantile(simulated, 0.95), rel=0.05)
    assert null.p_value == pytest.approx(np.mean(simulated >= 4.0), abs=0.01)
    single = chance_null(range(7), rng.normal(size=7))
    assert null.q95 < single.q95, "three curves of noise seldom jump alike"


def test_orders_are_drawn_for_each_seed_on_its_own() -> None:
    """Two curves that jump once: of 49 pairs of places both score high in few."""
    jump = np.array([0.0, 0.01, 0.03, 0.02, 0.9, 0.92, 0.95])
    score = median_score([emergence_score(range(7), jump)] * 2)
    rng = np.random.default_rng(0)
    both = median_permutation_null(score, [jump, jump], rng)
    one = median_permutation_null(score, [jump], rng)
    assert one.p_value > 3 * both.p_value
    assert one.q95 == pytest.approx(score, rel=0.5)


def test_a_plateau_is_one_of_every_seed() -> None:
    assert in_all([[(1, 4), (8, 20)], [(2, 9)]]) == [(2, 4), (8, 9)]
    assert in_all([[(1, 4)], [(4, 9)]]) == []
