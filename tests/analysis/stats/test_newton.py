import numpy as np
import pytest

from analysis.stats.newton import minimise

WIDE = np.full(2, -50.0), np.full(2, 50.0)


def rosenbrock(theta, rows):
    x, y = theta.T
    value = 100 * (y - x**2) ** 2 + (1 - x) ** 2
    gradient = np.stack([-400 * x * (y - x**2) - 2 * (1 - x), 200 * (y - x**2)], axis=1)
    hessian = np.empty((len(theta), 2, 2))
    hessian[:, 0, 0] = 1200 * x**2 - 400 * y + 2
    hessian[:, 0, 1] = hessian[:, 1, 0] = -400 * x
    hessian[:, 1, 1] = 200
    return value, gradient, hessian


def test_every_start_of_a_batch_reaches_the_minimum():
    starts = np.array([[-1.2, 1.0], [3.0, 3.0], [0.0, -4.0]])
    end = minimise(rosenbrock, starts, WIDE)
    assert end.theta == pytest.approx(np.ones((3, 2)), abs=1e-9)
    assert np.abs(end.gradient).max() < 1e-8


def test_negative_curvature_is_escaped():
    def double_well(theta, rows):
        x = theta[:, 0]
        hessian = np.zeros((len(x), 2, 2))
        hessian[:, 0, 0], hessian[:, 1, 1] = 12 * x**2 - 4, 2
        gradient = np.stack([4 * x**3 - 4 * x, 2 * theta[:, 1]], axis=1)
        return x**4 - 2 * x**2 + theta[:, 1] ** 2, gradient, hessian

    end = minimise(double_well, np.array([[0.05, 1.0], [-0.05, 1.0]]), WIDE)
    assert end.theta[:, 0] == pytest.approx([1.0, -1.0])


def test_bounds_hold_and_are_reported():
    upper = np.array([0.5, 50.0])
    end = minimise(rosenbrock, np.array([[0.0, 0.0]]), (WIDE[0], upper))
    assert end.theta[0] == pytest.approx([0.5, 0.25])
    assert end.at_bound.tolist() == [[True, False]]
    assert np.abs(end.gradient[~end.at_bound]).max() < 1e-8


def test_fixed_parameters_do_not_move():
    end = minimise(rosenbrock, np.array([[2.0, 0.0]]), WIDE, fixed=np.array([True, False]))
    assert end.theta[0] == pytest.approx([2.0, 4.0])
