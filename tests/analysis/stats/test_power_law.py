import numpy as np
import pytest

from analysis.errors import FitError
from analysis.stats.power_law import fit_power_law


def test_exact_laws_are_recovered_with_no_width():
    x = np.geomspace(1, 1e6, 7)
    law = fit_power_law(x, 3.0 * x**0.47)
    assert (law.coefficient, law.exponent) == pytest.approx((3.0, 0.47))
    assert law.interval() == pytest.approx((0.47, 0.47))
    assert law(10.0) == pytest.approx(3.0 * 10**0.47)


def test_weights_follow_the_stated_errors():
    x, y = np.array([1.0, 10.0, 100.0]), np.array([1.0, 10.0, 500.0])
    trusted = fit_power_law(x, y, errors=np.diag([1e-4, 1e-4, 100.0]))
    assert trusted.exponent == pytest.approx(1.0, abs=1e-3)
    assert fit_power_law(x, y).exponent > 1.2


def test_scatter_beyond_the_stated_errors_widens_the_interval():
    x = np.geomspace(1, 1e4, 9)
    y = x**0.5 * np.exp(0.3 * np.array([1, -1] * 4 + [1]))
    claimed = fit_power_law(x, x**0.5, errors=1e-4 * np.eye(9))
    scattered = fit_power_law(x, y, errors=1e-4 * np.eye(9))
    assert np.ptp(scattered.interval()) > 10 * np.ptp(claimed.interval())


def test_coverage_of_the_interval():
    rng = np.random.default_rng(0)
    x = np.geomspace(1, 100, 6)
    held = 0
    for _ in range(400):
        low, high = fit_power_law(x, x**0.5 * np.exp(rng.normal(0, 0.1, 6))).interval()
        held += low <= 0.5 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_two_points_give_a_line_without_an_interval():
    law = fit_power_law(np.array([1.0, 100.0]), np.array([1.0, 10.0]))
    assert law.exponent == pytest.approx(0.5)
    assert np.isnan(law.interval()).all()


def test_one_point_is_refused():
    with pytest.raises(FitError, match="2 distinct"):
        fit_power_law(np.array([2.0, 2.0]), np.array([1.0, 3.0]))
