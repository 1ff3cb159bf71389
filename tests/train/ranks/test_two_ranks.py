"""Two ranks under DDP, wrapped by Accelerate as for a run on two GPUs, over gloo."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.runs import free_port
from train.config.run_config import RunConfig
from train.run import train_run
from train.rundir.record import last_status, read_record, write_job


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 5e-3)])
def test_a_run_of_two_ranks_ends_as_on_one_process(
    tmp_path: Path, tiny_job: RunConfig, precision: str, tolerance: float
):
    job = replace(tiny_job, spec=replace(tiny_job.spec, precision=precision))
    for name in ("one", "two"):
        write_job(tmp_path / name, job)
    assert train_run(tmp_path / "one") == "finished"
    port = str(free_port())
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "train.run", str(tmp_path / "two")],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"},
            stdout=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]
    try:
        assert [rank.wait(timeout=250) for rank in ranks] == [0, 0], last_status(tmp_path / "two")
    finally:
        for rank in ranks:
            rank.kill()
    one, two = read_record(tmp_path / "one"), read_record(tmp_path / "two")
    assert two.loss == pytest.approx(one.loss, rel=tolerance)
    assert two.loss != one.loss or precision == "fp32"  # sums are taken in another order
    assert two.n_devices == 2
