from dataclasses import replace

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


def test_many_problems_end_where_each_alone_does_whatever_the_curvature():
    """From FEWEST_FACTORED problems on steps are by factors, and by axes where that is not
    possible.
    """
    rng = np.random.default_rng(1)
    roots = rng.normal(size=(40, 3))

    def wells(theta, rows):
        """(x^2 - c^2)^2 in each coordinate: a maximum at 0 between two minima."""
        c = roots[rows] ** 2 + 0.5
        gap = theta**2 - c
        hessian = np.zeros((len(theta), 3, 3))
        hessian[:, np.arange(3), np.arange(3)] = 12 * theta**2 - 4 * c
        return (gap**2).sum(axis=1), 4 * theta * gap, hessian

    starts, bounds = rng.normal(size=(40, 3)) * 0.5, (np.full(3, -9.0), np.full(3, 9.0))
    together = minimise(wells, starts, bounds)
    alone = [
        minimise(lambda theta, rows, i=i: wells(theta, rows + i), starts[i : i + 1], bounds)
        for i in range(40)
    ]
    assert np.abs(together.theta) == pytest.approx(np.sqrt(roots**2 + 0.5), abs=1e-9)
    assert together.theta == pytest.approx(np.concatenate([one.theta for one in alone]), abs=1e-9)


def two_valleys(theta, rows):
    """(x^2 - 1)^2 + .1 x: minima near -1 and, higher, near 1."""
    x = theta[:, 0]
    value = (x**2 - 1) ** 2 + 0.1 * x
    gradient = (4 * x * (x**2 - 1) + 0.1)[:, None]
    return value, gradient, (12 * x**2 - 4)[:, None, None]


def test_a_search_that_meets_a_known_minimum_stops_and_one_that_is_lower_goes_on():
    box = np.array([-5.0]), np.array([5.0])
    known = minimise(two_valleys, np.array([[0.9], [0.9]]), box)
    starts = np.array([[1.5], [-1.5]])
    alone = minimise(two_valleys, starts, box)
    made = minimise(two_valleys, starts, box, known=known, apart=1e-2)
    assert made.iterations[0] < alone.iterations[0], "met"
    assert abs(made.theta[0, 0] - known.theta[0, 0]) < 1e-2
    assert made.theta[1] == pytest.approx(alone.theta[1], abs=1e-10), "the other minimum"
    # What was taken for a minimum and is none does not stop a search that is lower.
    false = replace(known, theta=known.theta + 0.02, value=known.value + 1.0)
    passed = minimise(two_valleys, starts, box, known=false, apart=0.5)
    assert passed.theta == pytest.approx(alone.theta, abs=1e-10)
