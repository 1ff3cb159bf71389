"""Predicted time and memory."""

import pytest

from sweeps.plan.cost_model import (
    EVAL_SHARE,
    START_SECONDS,
    Speed,
    makespan,
    predicted_bytes,
    predicted_seconds,
)
from tests.support.sweep_fixtures import expansion, grid

SPEEDS = [Speed(1e6, 1000.0), Speed(1e8, 100.0)]


def seconds(flops_a_token, n_tokens=1e6):
    return (predicted_seconds(flops_a_token, n_tokens, SPEEDS) - START_SECONDS) / (1 + EVAL_SHARE)


def test_measured_sizes_are_reproduced_and_between_them_speed_is_log_log():
    assert seconds(1e6) == pytest.approx(1e6 / 1000)
    assert seconds(1e8) == pytest.approx(1e6 / 100)
    assert seconds(1e7) == pytest.approx(1e6 / 1000**0.5 / 100**0.5)


def test_small_sizes_are_bound_by_overhead_and_large_ones_by_arithmetic():
    assert seconds(1e3) == seconds(1e6)
    assert seconds(1e10) == pytest.approx(100 * seconds(1e8))


def test_a_prediction_without_measurements_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        predicted_seconds(1e6, 1e6, [])


def test_makespan_is_longest_first_over_the_workers():
    assert makespan([3, 3, 2, 2, 2], 2) == 7
    assert makespan([5, 1, 1], 3) == 5
    assert makespan([1, 2, 3], 1) == 6
    assert makespan([], 4) == 0


def test_memory_grows_with_size_and_a_micro_batch_bounds_the_activations():
    small, large = (run.job.spec for run in expansion(g=grid(budgets=[1e11])).runs)
    assert predicted_bytes(large) > predicted_bytes(small) * 0.5
    assert predicted_bytes(large, micro_batch=1) < predicted_bytes(large)
    assert predicted_bytes(large, micro_batch=10**6) == predicted_bytes(large)
