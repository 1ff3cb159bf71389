"""Nulls of many curves at once against their definitions, one curve at a time."""

import itertools

import numpy as np
import pytest

from analysis.emergence.null import chance_nulls, permutation_nulls, row_scores


def one_score(y: np.ndarray) -> float:
    """The definition, written out for one curve."""
    step = np.sqrt(np.median(np.diff(y) ** 2))
    return float(np.sign(np.argmax(y) - np.argmin(y)) * np.ptp(y) / step)


@pytest.mark.parametrize("n_points", [3, 4, 7, 12])
def test_rows_score_as_one_curve_does(n_points: int) -> None:
    y = np.random.default_rng(0).normal(size=(20, n_points))
    np.testing.assert_allclose(row_scores(y), [one_score(row) for row in y], rtol=1e-12)
    assert row_scores(np.array([[2.0] * n_points])).tolist() == [0.0]


def test_few_points_are_tried_in_every_order() -> None:
    y = np.array([0.0, 0.02, 0.03, 0.9])
    (null,) = permutation_nulls(y[None], np.random.default_rng(0))
    every = np.array([abs(one_score(np.array(o))) for o in itertools.permutations(y)])
    as_large = np.sum(every >= abs(one_score(y)) * (1 - 1e-12))
    assert (null.n_draws, null.p_value) == (24, (1 + as_large) / 25)


def test_curves_of_one_length_have_the_nulls_that_each_has_alone() -> None:
    y = np.random.default_rng(1).normal(size=(300, 11)).cumsum(axis=1)
    together = permutation_nulls(y, np.random.default_rng(2))
    alone = [permutation_nulls(row[None], np.random.default_rng(2))[0] for row in y[:5]]
    assert together[:5] == alone
    chance = chance_nulls(row_scores(y), 11)
    assert chance[0] == chance_nulls(row_scores(y[:1]), 11)[0]
    assert {null.q95 for null in chance} == {chance[0].q95}


def test_an_infinite_score_is_beyond_all_noise() -> None:
    (null,) = chance_nulls(np.array([np.inf]), 9, n_draws=999)
    assert null.p_value == 1 / 1000
