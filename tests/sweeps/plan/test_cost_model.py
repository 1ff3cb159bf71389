"""Predicted time and memory."""

from dataclasses import replace

import pytest

from sweeps.plan.cost_model import (
    CHUNK_LOGITS,
    EVAL_SHARE,
    START_SECONDS,
    Speed,
    makespan,
    predicted_bytes,
    predicted_seconds,
)
from tests.support.sweep_fixtures import expansion, grid
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec

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


def test_a_gpu_keeps_a_chunk_of_logits_and_no_attention_scores():
    """124M parameters, 32 rows of 1,024: all logits in float32 alone would be 6.6 GB."""
    model = complete_shape(ModelSpec(d_model=768, vocab_size=50_257, seq_len=1024))
    spec = next(iter(expansion(g=grid(budgets=[1e11])).runs)).job.spec
    optim = replace(spec.optim, batch_tokens=32 * 1024)
    spec = replace(spec, model=model, optim=optim, precision="bf16")
    on_gpu, on_cpu = (predicted_bytes(spec, on_gpu=gpu) for gpu in (True, False))
    assert on_gpu < 30e9 < on_cpu
    assert predicted_bytes(spec, 16, on_gpu=True) < 0.6 * on_gpu


def test_the_chunk_is_the_one_that_is_trained_with():
    from train.model import loss

    assert CHUNK_LOGITS == loss.CHUNK_LOGITS
