import numpy as np
import pytest

from analysis.data.cost_law import Cost
from analysis.errors import FitError
from analysis.fits.parametric.fisher_information import (
    covariance,
    gradients,
    jacobian,
    most_informative,
    precision,
)
from analysis.fits.parametric.fit import fit_parametric
from analysis.fits.parametric.huber import LogRuns
from analysis.fits.surface import Surface

SURFACE = Surface(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37, cost=Cost(20.0, 0.9))


def grid(n_sizes=6, n_lengths=5):
    sizes, lengths = np.geomspace(1e7, 1e9, n_sizes), np.geomspace(1e8, 1e10, n_lengths)
    return np.repeat(sizes, n_lengths), np.tile(lengths, n_sizes)


def surface_of(theta):
    e, a, b, alpha, beta = theta
    return Surface(np.exp(e), np.exp(a), np.exp(b), alpha, beta, SURFACE.cost)


THETA = np.array([np.log(1.8), np.log(480.0), np.log(2100.0), 0.35, 0.37])


def test_jacobian_is_the_derivative_of_log_loss():
    n, d = grid()
    rows = jacobian(SURFACE, n, d)
    for i, step in enumerate(np.eye(5) * 1e-6):
        up, down = (surface_of(THETA + sign * step).loss(n, d) for sign in (1, -1))
        assert rows[:, i] == pytest.approx((np.log(up) - np.log(down)) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("name", ["a", "b", "E", "alpha", "beta"])
def test_gradients_are_derivatives_of_their_quantities(name):
    for i, step in enumerate(np.eye(5) * 1e-6):
        up, down = (getattr(surface_of(THETA + sign * step), name) for sign in (1, -1))
        assert gradients(SURFACE)[name][i] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_covariance_is_that_of_least_squares_over_many_draws():
    n, d = grid()
    rng = np.random.default_rng(0)
    rows = jacobian(SURFACE, n, d)
    # One Gauss-Newton step from the truth is least squares to first order.
    noise = rng.normal(0, 1e-4, (4000, len(n)))
    steps = noise @ rows @ np.linalg.inv(rows.T @ rows)
    expected = covariance(rows, 1e-4)
    scale = np.sqrt(np.diag(expected))
    assert np.cov((steps / scale).T) == pytest.approx(expected / np.outer(scale, scale), abs=0.1)


def test_half_widths_are_those_of_a_fit_that_is_as_wide_as_the_noise():
    n, d = grid()
    rng, noise = np.random.default_rng(1), 1e-3
    a = [
        fit_parametric(
            n, d, SURFACE.loss(n, d) * np.exp(rng.normal(0, noise, len(n))),
            delta=0.1, cost=SURFACE.cost,
        ).a
        for _ in range(60)
    ]  # fmt: skip
    expected = precision(SURFACE, n, d, noise)
    assert np.mean(a) == pytest.approx(SURFACE.a, abs=expected.a)
    assert 2.06 * np.std(a) == pytest.approx(expected.a, rel=0.25)
    assert expected.b == pytest.approx(SURFACE.cost.gamma * expected.a)


def test_noise_and_repetition_scale_half_widths():
    n, d = grid()
    once, noisy = precision(SURFACE, n, d, 0.01), precision(SURFACE, n, d, 0.02)
    assert noisy.a == pytest.approx(2 * once.a)
    fourfold = precision(SURFACE, np.tile(n, 4), np.tile(d, 4), 0.01)
    ratio = once.E / fourfold.E
    assert ratio == pytest.approx(2, rel=0.05)


def test_runs_of_one_size_determine_nothing():
    n, d = np.full(20, 1e8), np.geomspace(1e8, 1e10, 20)
    assert np.isnan(precision(SURFACE, n, d, 0.01).a)
    with pytest.raises(FitError, match="do not determine"):
        covariance(jacobian(SURFACE, n, d), 0.01)
    assert np.isnan(precision(SURFACE, *grid(2, 2), 0.01).a)


def test_the_most_informative_run_lowers_the_error_as_promised():
    fitted, cost = grid(3, 3), np.array([1.0, 1.0, 4.0])
    candidates = np.array([1e6, 1e8, 1e10]), np.array([1e11, 1e9, 1e7])
    chosen = most_informative(SURFACE, fitted, candidates, cost, budget=5.0)
    first, factor = chosen[0]
    both = [np.append(x, c[first]) for x, c in zip(fitted, candidates, strict=True)]
    g = gradients(SURFACE)["a"]
    before, after = (
        g @ covariance(jacobian(SURFACE, *runs), 1.0) @ g for runs in (fitted, both)
    )  # fmt: skip
    assert factor == pytest.approx(np.sqrt(after / before), rel=1e-6)
    gains = [
        (before - g @ covariance(jacobian(SURFACE, *map(np.append, fitted, (n, d))), 1.0) @ g) / c
        for n, d, c in zip(*candidates, cost, strict=True)
    ]
    assert first == int(np.argmax(gains))


def test_the_budget_bounds_what_is_chosen_and_nothing_is_chosen_twice():
    fitted = grid(3, 3)
    candidates = grid(4, 4)
    cost = np.asarray(SURFACE.cost.flops(*candidates))
    budget = float(cost.sum() / 3)
    chosen = [i for i, _ in most_informative(SURFACE, fitted, candidates, cost, budget)]
    assert 0 < len(chosen) < len(cost)
    assert len(set(chosen)) == len(chosen)
    assert cost[chosen].sum() <= budget
    assert not most_informative(SURFACE, fitted, candidates, cost, cost.min() / 2)


def test_rows_agree_with_the_fits_own_coordinates():
    n, d = grid()
    runs = LogRuns.of(n, d, SURFACE.loss(n, d))
    assert runs.surface(runs.theta(SURFACE), SURFACE.cost).loss(n, d) == pytest.approx(
        SURFACE.loss(n, d)
    )
