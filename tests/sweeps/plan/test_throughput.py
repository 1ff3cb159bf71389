"""Timing of real steps, and its cache."""

import pytest

from sweeps.plan import throughput as calibrate
from train.config.run_config import RuntimeSpec


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))


@pytest.mark.slow
def test_real_steps_are_timed_once_and_larger_models_are_slower(monkeypatch):
    first = calibrate.speeds(RuntimeSpec(), "fp32", on_gpu=False)
    assert len(first) == len(calibrate.SIZES["cpu"])
    flops = [speed.flops_per_token for speed in first]
    assert flops == sorted(flops)
    assert first[0].tokens_per_second > first[-1].tokens_per_second > 0
    monkeypatch.setattr(calibrate, "measure", None)
    assert calibrate.speeds(RuntimeSpec(), "fp32", on_gpu=False) == first


def test_another_precision_or_thread_count_is_measured_apart_and_damage_is_measured_anew(
    monkeypatch, tmp_path
):
    calls = []

    def measure(*arguments):
        calls.append(arguments)
        return [calibrate.Speed(1.0, 2.0)]

    monkeypatch.setattr(calibrate, "measure", measure)
    for runtime, precision in ((RuntimeSpec(), "fp32"), (RuntimeSpec(threads=2), "bf16")):
        for _ in range(2):
            calibrate.speeds(runtime, precision, on_gpu=False)
    assert calls == [(1, "fp32", False), (2, "bf16", False)]
    for path in (tmp_path / "calibration").iterdir():
        path.write_text('[{"speed": 1}]')
    calibrate.speeds(RuntimeSpec(), "fp32", on_gpu=False)
    assert len(calls) == 3
