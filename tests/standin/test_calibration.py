"""Calibration in a child process whose accelerator is the stand-in."""

import sys

import pytest

from sweeps.plan.throughput import CalibrationError, speeds
from tests.standin.build import NoCompilerError, library
from tests.support.sweep_fixtures import expansion, grid
from train.config.flops import flops_per_token

CHILD = """
import sys
from tests.standin import device
device.load()
with device.memory_limit({limit}):
    from sweeps.plan.time_steps import main
    sys.exit(main([]))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))
    try:
        library()
    except NoCompilerError as error:
        pytest.skip(str(error))


def timed(limit: int) -> int:
    """How many of two sizes are timed on a device with so many bytes."""
    jobs = [run.job for run in expansion(iso=grid(d_models=[16, 256])).runs]
    jobs = [jobs[0], jobs[-1]]
    command = [sys.executable, "-c", CHILD.format(limit=limit)]
    sizes = [speed.flops_per_token for speed in speeds(jobs, str(limit), command)]
    assert sizes == [flops_per_token(job.spec.model) for job in jobs][: len(sizes)]
    return len(sizes)


@pytest.mark.slow
def test_sizes_that_do_not_fit_are_left_out_and_none_at_all_is_one_line():
    assert timed(0) == 2
    assert timed(8_000_000) == 1
    with pytest.raises(CalibrationError, match="one row of the smallest model does not fit"):
        timed(10_000)
