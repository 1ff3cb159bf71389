"""The token law and what it implies: recovered where it is true, scored where it is not."""

import math

import numpy as np
import pytest

from analysis.emergence.token_model import (
    LengthCell,
    accuracy,
    edit_distance,
    fit_token_law,
    leave_largest_out,
    threshold,
)

N = np.geomspace(1e3, 1e6, 10)
LENGTHS = {3: 0.4, 4: 0.6}


def test_a_law_is_recovered_exactly() -> None:
    law = fit_token_law(N, (N / 2e4) ** -0.7)
    assert (law.c, law.alpha, law.r_squared) == pytest.approx((2e4, -0.7, 1.0))
    assert law.probability(2e4) == pytest.approx(math.exp(-1))
    low, high = law.alpha_interval
    assert low == pytest.approx(-0.7)
    assert high == pytest.approx(-0.7)


def test_alpha_s_interval_covers_it() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        loss = (N / 2e4) ** -0.7 * np.exp(0.2 * rng.normal(size=len(N)))
        low, high = fit_token_law(N, loss).alpha_interval
        inside.append(low <= -0.7 <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.04)


def test_accuracy_is_the_share_of_simulated_answers_and_distance_their_wrong_tokens() -> None:
    rng = np.random.default_rng(1)
    p, n = 0.8, 200_000
    lengths = rng.choice([3, 4], n, p=[0.4, 0.6])
    right = rng.random((n, 4)) < p
    right[lengths == 3, 3] = True
    assert accuracy(p, LENGTHS) == pytest.approx(right.all(axis=1).mean(), abs=0.005)
    assert edit_distance(p, LENGTHS) == pytest.approx((~right).sum(axis=1).mean(), abs=0.005)


def test_the_threshold_is_where_the_predicted_accuracy_is_a_half() -> None:
    law = fit_token_law(N, (N / 2e4) ** -0.7)
    at = threshold(law, LENGTHS)
    assert accuracy(law.probability(at), LENGTHS) == pytest.approx(0.5)
    assert math.isnan(threshold(fit_token_law(N, (N / 2e4) ** 0.7), LENGTHS))


def test_leaving_the_largest_out_predicts_them_where_the_law_holds() -> None:
    loss = (N / 2e4) ** -0.7
    p = np.exp(-loss)
    held = leave_largest_out(N, loss, accuracy(p, LENGTHS), edit_distance(p, LENGTHS), LENGTHS)
    assert [holdout.largest_fitted for holdout in held] == pytest.approx(N[2:-1])
    assert all(holdout.accuracy_error < 1e-9 for holdout in held)
    assert all(holdout.distance_error < 1e-9 for holdout in held)
    assert all((holdout.n_params > holdout.largest_fitted).all() for holdout in held)


def test_leaving_the_largest_out_shows_a_broken_law() -> None:
    loss = np.where(N < 1e5, 1.4, 0.01)
    p = np.exp(-loss)
    held = leave_largest_out(N, loss, accuracy(p, LENGTHS), edit_distance(p, LENGTHS), LENGTHS)
    assert held[0].accuracy_error > 0.3


def test_length_predictions_by_hand() -> None:
    cell = LengthCell("a", 1e4, 3, 500, 0.4, 0.9, 0.8, (0.9, 0.8, 0.7), 0.95)
    assert cell.geometric == pytest.approx(0.8**3)
    assert cell.product == pytest.approx(0.9 * 0.8 * 0.7 * 0.95)
    assert cell.quasilinear == pytest.approx(3 * 0.2)


def test_a_law_needs_two_sizes_and_positive_losses() -> None:
    with pytest.raises(ValueError, match="1 sizes"):
        fit_token_law([1e3, 1e3], [1.0, 2.0])
    with pytest.raises(ValueError, match="smallest loss 0"):
        fit_token_law([1e3, 1e4], [1.0, 0.0])
