"""Ranks under DDP exchange gradients while a compiled model still computes others."""

import json
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

SCRIPT = Path(__file__).parents[2] / "support" / "compiled_rank.py"


@pytest.mark.slow
def test_a_compiled_run_of_two_ranks_sends_gradients_between_its_graphs(
    tmp_path: Path, tiny_job: RunConfig
):
    """As one graph its backward pass would hand over all gradients at its end."""
    write_job(tmp_path / "one", tiny_job)
    assert train_run(tmp_path / "one") == "finished"
    compiled = replace(tiny_job.runtime, compile="on")
    write_job(tmp_path / "two", replace(tiny_job, runtime=compiled))
    port = str(free_port())
    ranks = [
        subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), str(tmp_path / "two"), str(tmp_path / "found")],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
            | {"PYTHONPATH": str(Path(__file__).parents[3])},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]
    try:
        assert [rank.wait(timeout=280) for rank in ranks] == [0, 0], last_status(tmp_path / "two")
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    for rank in range(2):
        found = json.loads((tmp_path / f"found-{rank}.json").read_text())
        assert found["status"] == "finished"
        backward = found["backward"]
        assert backward[:2] == ["graph", "bucket"]
        assert backward.count("graph") >= 2
        assert "bucket" in backward[: len(backward) - 1 - backward[::-1].index("graph")]
        assert found["broadcast_buffers"] is False
    one, two = read_record(tmp_path / "one"), read_record(tmp_path / "two")
    assert one is not None and two is not None
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    assert two.kernels.endswith(", compiled")
