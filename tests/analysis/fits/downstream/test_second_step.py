"""The second step from loss to accuracy: recovery, chance, refusals."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from analysis.errors import FitError
from analysis.fits.downstream.second_step import _slopes, _value, fit_second_step, refit_second_step

LOSS = np.linspace(0.5, 1.5, 16)


def sigmoid(x, top, bottom, k, x0):
    return bottom + (top - bottom) / (1 + np.exp(k * (x - x0)))


def test_a_sigmoid_is_recovered_with_its_bottom_free_or_held():
    y = sigmoid(LOSS, 0.9, 0.25, 8.0, 0.9)
    for bottom in (None, 0.25):
        step = fit_second_step(LOSS, y, bottom=bottom)
        assert step.parameters == pytest.approx(
            {"top": 0.9, "bottom": 0.25, "k": 8.0, "x0": 0.9}, rel=1e-4
        )
        assert step.status == "converged" and step.held.sum() == (bottom is not None)
    assert step(np.array([0.3]))[0] == pytest.approx(sigmoid(0.3, 0.9, 0.25, 8.0, 0.9), rel=1e-4)


def test_independent_tokens_have_one_length():
    step = fit_second_step(LOSS, 0.1 + 0.9 * np.exp(-3 * LOSS), "tokens", 0.1)
    assert step.parameters == pytest.approx({"bottom": 0.1, "L": 3.0}, rel=1e-6)


def test_an_anchored_sigmoid_is_least_squares_with_one_more_point():
    """Against scipy's curve_fit on the points and (0, 1), as Bhagia et al. fit theirs."""
    rng = np.random.default_rng(1)
    y = np.clip(sigmoid(LOSS, 0.8, 0.25, 5.0, 1.0) + 0.01 * rng.normal(size=16), 0, 1)
    step = fit_second_step(LOSS, y, "anchored")
    x, seen = np.append(LOSS, 0.0), np.append(y, 1.0)
    bounds = ([y.max() - 0.05, 0, 0.1, -1], [1, y.min() + 0.05, 100, 3])
    theirs = curve_fit(sigmoid, x, seen, (0.9, 0.25, 5.0, 1.0), bounds=bounds, ftol=1e-12)[0]
    assert step(x) == pytest.approx(sigmoid(x, *theirs), abs=1e-4)
    free = fit_second_step(LOSS, y)
    nothing = np.array([0.0])
    assert step(nothing)[0] > free(nothing)[0] + 0.02
    drawn = refit_second_step(step, LOSS, y, np.ones((1, 16)))
    assert drawn[0] == pytest.approx(step.theta, abs=1e-4), "resamples keep the point"
    assert step.freedom == 12, "which is no evidence"


def test_slopes_are_those_of_differences():
    for kind, theta in (("sigmoid", [0.9, 0.2, 0.4, -0.3]), ("tokens", [0.1, 0.5])):
        theta, z = np.array([theta]), np.linspace(-1, 1, 5)[None]
        for i in range(theta.shape[1]):
            step = np.zeros_like(theta)
            step[0, i] = 1e-6
            numeric = (_value(kind, theta + step, z) - _value(kind, theta - step, z)) / 2e-6
            assert _slopes(kind, theta, z)[:, i] == pytest.approx(numeric, abs=1e-8)


def test_a_refit_is_a_fit_of_the_rows_that_were_drawn():
    rng = np.random.default_rng(0)
    y = np.clip(sigmoid(LOSS, 0.9, 0.25, 8.0, 0.9) + 0.01 * rng.normal(size=16), 0, 1)
    step = fit_second_step(LOSS, y, bottom=0.25)
    weights = np.ones((2, 16))
    weights[1, ::2], weights[1, 1::2] = 2, 0
    ones, drawn = refit_second_step(step, LOSS, y, weights)
    assert ones == pytest.approx(step.theta, abs=1e-5)
    alone = fit_second_step(LOSS[::2], y[::2], bottom=0.25)
    assert step(LOSS, np.tile(drawn, (16, 1))) == pytest.approx(alone(LOSS), abs=1e-3)


def test_what_does_not_rise_is_said_and_too_few_points_are_refused():
    noise = 0.25 + 0.02 * np.random.default_rng(0).normal(size=16)
    step = fit_second_step(LOSS, noise)
    assert step.status == "degenerate" and ("rise" in step.reason)
    assert "do not rise" in fit_second_step(LOSS, LOSS / 2).reason
    with pytest.raises(FitError, match="5 points; a second step needs at least 6"):
        fit_second_step(LOSS[:5], LOSS[:5] / 2)
    with pytest.raises(FitError, match="unknown; expected one of sigmoid, anchored, tokens"):
        fit_second_step(LOSS, LOSS / 2, "cubic")
