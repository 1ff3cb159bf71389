import numpy as np
import pytest

from analysis.data.cost_law import Cost
from analysis.fits.parametric.huber import LogRuns, Penalty, derivatives, objective, residuals
from analysis.fits.surface import Surface

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    n_params, n_tokens = 10 ** rng.uniform(6, 9, 30), 10 ** rng.uniform(8, 11, 30)
    loss = SURFACE.loss(n_params, n_tokens) * np.exp(rng.normal(0, 0.02, 30))
    return LogRuns.of(n_params, n_tokens, loss)


def test_theta_and_surface_are_inverse(runs):
    back = runs.surface(runs.theta(SURFACE), Cost())
    for name in ("E", "A", "B", "alpha", "beta"):
        assert getattr(back, name) == pytest.approx(getattr(SURFACE, name), rel=1e-12)


def test_residuals_are_those_of_the_surface(runs):
    predicted = SURFACE.loss(np.exp(runs.u + runs.u_mean), np.exp(runs.v + runs.v_mean))
    expected = np.log(predicted) - runs.y
    assert residuals(runs.theta(SURFACE)[None], runs)[0] == pytest.approx(expected, abs=1e-12)


def test_residuals_of_the_loss_are_in_its_own_unit(runs):
    predicted = SURFACE.loss(np.exp(runs.u + runs.u_mean), np.exp(runs.v + runs.v_mean))
    found = residuals(runs.theta(SURFACE)[None], runs, "loss")[0]
    assert found == pytest.approx(predicted - runs.loss, abs=1e-12)


def test_huber_by_hand():
    runs = LogRuns(np.zeros(2), np.zeros(2), np.array([-0.5, 0.1]), 0.0, 0.0)
    theta = np.array([[0.0, -800.0, -800.0, 1.0, 1.0]])  # L_fit = 1, so residuals are .5 and -.1
    weights = np.array([[1.0, 3.0]])
    quadratic, linear = 0.1**2 / 2, 0.2 * (0.5 - 0.1)
    assert objective(theta, runs, weights, Penalty(0.2)) == pytest.approx(linear + 3 * quadratic)
    halved = objective(theta, runs, weights, Penalty(0.2, above=0.5))
    assert halved == pytest.approx(linear + 1.5 * quadratic)
    squares = objective(theta, runs, weights, Penalty(np.inf))
    assert squares == pytest.approx((0.5**2 + 3 * 0.1**2) / 2)


@pytest.mark.parametrize(
    "penalty",
    [
        Penalty(1.0),
        Penalty(0.01),
        Penalty(0.01, above=0.3),
        Penalty(np.inf),
        Penalty(0.03, residual="loss"),
        Penalty(0.03, above=0.3, residual="loss"),
        Penalty(np.inf, residual="loss"),
    ],
)
def test_gradient_and_hessian_against_differences(runs, penalty):
    rng = np.random.default_rng(1)
    theta = runs.theta(SURFACE)[None] + rng.normal(0, 0.05, (4, 5))
    weights = rng.uniform(0.5, 2, (4, len(runs)))
    value, gradient, hessian = derivatives(theta, runs, weights, penalty)
    assert value == pytest.approx(objective(theta, runs, weights, penalty), rel=1e-12)
    step = 1e-6
    for i in range(5):
        shift = step * np.eye(5)[i]
        up, down = (derivatives(theta + s * shift, runs, weights, penalty) for s in (1, -1))
        scale = np.abs(gradient).max()
        assert (up[0] - down[0]) / (2 * step) == pytest.approx(gradient[:, i], abs=1e-5 * scale)
        numeric = (up[1] - down[1]) / (2 * step)
        assert numeric == pytest.approx(hessian[:, i], abs=2e-5 * np.abs(hessian).max())
