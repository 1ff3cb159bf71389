"""Timing of real steps in a child process, and its cache."""

import sys

import pytest

from sweeps.plan import throughput
from sweeps.plan.throughput import CalibrationError, speeds, timed_sizes
from tests.support.sweep_fixtures import expansion, grid
from train.config.flops import flops_per_token

JOBS = [run.job for run in expansion(iso=grid(d_models=[8, 16, 24, 32])).runs]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_smallest_a_middle_and_the_largest_model_are_timed():
    assert [job.spec.model.d_model for job in timed_sizes(JOBS)] == [8, 24, 32]
    assert len(timed_sizes(JOBS[:1])) == 1


@pytest.mark.slow
def test_real_steps_are_timed_once_with_what_is_trained():
    first = speeds(JOBS, device=None)
    sizes = [flops_per_token(job.spec.model) for job in timed_sizes(JOBS)]
    assert [speed.flops_per_token for speed in first] == sizes
    assert first[0].tokens_per_second > first[-1].tokens_per_second > 0
    assert speeds(JOBS, device=None, command=child("raise SystemExit('timed again')")) == first


@pytest.mark.slow
def test_a_card_that_torch_can_not_use_is_one_line():
    """What nvidia-smi lists is no proof: this build of torch may know no GPU at all."""
    with pytest.raises(CalibrationError, match=r"torch .* can't use device 0$") as caught:
        speeds(JOBS, device="0")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('broken\\ncard')", r"exit status 1\): card"),
        ("raise SystemExit(3)", r"exit status 3\): no output"),
        ("print('[1')", "gave no result"),
        ("", "gave no result"),
        ("import time; time.sleep(60)", "took over 1 s"),
    ],
)
def test_any_failure_of_the_child_is_one_line(code, reason, monkeypatch):
    monkeypatch.setattr(throughput, "TIMEOUT_SECONDS", 1.0 if "sleep" in code else 60.0)
    with pytest.raises(CalibrationError, match=reason):
        speeds(JOBS, device=None, command=child(code))


def test_the_child_sees_the_chosen_device_alone_and_damage_is_measured_again(tmp_path):
    code = (
        "import os, json; n = int(os.environ['CUDA_VISIBLE_DEVICES']); "
        "print(json.dumps([{'flops_per_token': 1.0, 'tokens_per_second': n}]))"
    )
    assert speeds(JOBS, "3", child(code))[0].tokens_per_second == 3
    assert speeds(JOBS, "4", child(code))[0].tokens_per_second == 4
    for path in (tmp_path / "calibration").iterdir():
        path.write_text('[{"speed": 1}]')
    assert speeds(JOBS, "3", child(code))[0].tokens_per_second == 3
