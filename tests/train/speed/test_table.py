"""Choices that follow from measurements, on tables made by hand."""

from dataclasses import replace

import pytest

from tests.support.speed_tables import FAST_MKL, SLOW_MKL
from train.config.kernels import LIBRARY, Kernels
from train.speed.table import (
    CompiledTime,
    SpeedTable,
    bf16_pays,
    candidate_kernels,
    compiling_pays,
    eager_seconds,
    kernels_for,
)


def test_a_kernel_is_taken_from_the_size_at_which_it_gains_and_goes_on_gaining():
    products = kernels_for(SLOW_MKL, 128, 16, 64)
    assert products == Kernels(2**25, 2**23, None)  # 2^21 gains, but 2^23 by less than 3 %


def test_attention_is_taken_as_at_the_nearest_size_that_was_timed():
    sizes = [(16, 128), (16, 200), (16, 4096), (100, 256), (100, 400), (24, 256)]
    taken = [kernels_for(SLOW_MKL, 128, *size).blocks_from for size in sizes]
    assert taken == [None, 200, 4096, None, 400, 256]


def test_faster_by_itself_is_not_enough_where_a_whole_step_does_not_gain():
    assert candidate_kernels(SLOW_MKL.products, SLOW_MKL.attention, 16, 256) != LIBRARY
    assert kernels_for(SLOW_MKL, 32, 16, 256) == LIBRARY
    assert kernels_for(SLOW_MKL, 8, 4, 256) == LIBRARY  # the nearest width is 32


def test_where_the_step_was_too_small_for_them_kernels_need_no_step():
    untried = replace(SLOW_MKL, steps=(replace(SLOW_MKL.steps[0], kernels=None),))
    assert kernels_for(untried, 32, 64, 512) == candidate_kernels(
        untried.products, untried.attention, 64, 512
    )
    assert eager_seconds(untried, 32, "fp32", 1e9) == untried.steps[0].library
    idle = replace(FAST_MKL, steps=(replace(FAST_MKL.steps[0], kernels=None),))
    assert kernels_for(idle, 32, 64, 512) == LIBRARY


@pytest.mark.parametrize("table", [FAST_MKL, SpeedTable()])
@pytest.mark.parametrize("d_model", [8, 64, 128, 1024])
def test_what_one_machine_needs_another_rejects(table, d_model):
    """The other maker's choices, forced on a machine where the library's calls are faster."""
    assert kernels_for(table, d_model, 32, 256) == LIBRARY


def test_bfloat16_has_to_gain_over_the_better_of_both_kernels_at_both_neighbouring_widths():
    gains = {d: bf16_pays(SLOW_MKL, d) for d in (16, 32, 64, 100, 128, 200, 256, 1024)}
    assert gains == {
        16: False, 32: False, 64: False, 100: False, 128: True, 200: True, 256: True, 1024: True,
    }  # fmt: skip
    unable = tuple(replace(step, bf16=None) for step in SLOW_MKL.steps)
    assert not bf16_pays(replace(SLOW_MKL, steps=unable), 256)
    assert not bf16_pays(SpeedTable(), 256)


def test_attention_of_bfloat16_runs_is_in_float32_where_that_was_faster():
    attention = [replace(a, bf16=2 * a.library, bf16_wide=a.library) for a in SLOW_MKL.attention]

    def gaining(times: float) -> SpeedTable:
        steps = [replace(s, bf16_kernels=(s.bf16 or 0.0) / times) for s in SLOW_MKL.steps]
        return replace(SLOW_MKL, attention=tuple(attention), steps=tuple(steps))

    table = gaining(1.2)
    assert kernels_for(table, 128, 16, 256, "bf16") == Kernels(None, None, 256, 256)
    assert kernels_for(table, 128, 16, 256) == kernels_for(SLOW_MKL, 128, 16, 256)
    assert eager_seconds(table, 256, "bf16", 64e12) == pytest.approx(200 / 1.2)
    assert not bf16_pays(SLOW_MKL, 64)
    assert bf16_pays(gaining(1.3), 64)  # 0.025 s in float32, 0.023 so
    assert kernels_for(SLOW_MKL, 128, 16, 256, "bf16") == LIBRARY  # nothing of the kind was timed
    assert kernels_for(gaining(1.02), 128, 16, 256, "bf16") == LIBRARY


def test_the_prediction_is_of_the_faster_kernels_in_the_precision_asked_for():
    assert eager_seconds(SLOW_MKL, 256, "fp32", 64e12) == pytest.approx(250)
    assert eager_seconds(SLOW_MKL, 256, "bf16", 64e12) == pytest.approx(200)
    assert eager_seconds(SpeedTable(), 256, "fp32", 64e12) is None


def test_compiling_pays_where_the_rest_of_the_run_repays_it():
    """Steps of 1 / 1.43: a run of T seconds gains .3 T, against 20 s for two layers, 40 for 16."""
    run_of = {seconds: seconds / 0.01 * 1e9 for seconds in (65, 70, 130, 140)}
    assert not compiling_pays(FAST_MKL, 64, "fp32", 2, run_of[65])
    assert compiling_pays(FAST_MKL, 64, "fp32", 2, run_of[70])
    assert not compiling_pays(FAST_MKL, 64, "fp32", 16, run_of[130])
    assert compiling_pays(FAST_MKL, 64, "fp32", 16, run_of[140])
    assert not compiling_pays(FAST_MKL, 64, "bf16", 2, 1e20)  # not tried


def test_compiling_that_is_slower_or_has_no_compiler_never_pays():
    assert not compiling_pays(SLOW_MKL, 256, "fp32", 2, 1e20)
    assert compiling_pays(SLOW_MKL, 256, "bf16", 2, 1e20)
    assert not compiling_pays(SLOW_MKL, 128, "fp32", 2, 1e20)
    barely = SpeedTable(
        steps=SLOW_MKL.steps, compiled=(CompiledTime(256, "fp32", 2, 0.250, 0.245, 20.0),)
    )
    assert not compiling_pays(barely, 256, "fp32", 2, 1e20)  # by 2 %, which may be chance
