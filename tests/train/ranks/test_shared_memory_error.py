"""Two ranks of which one runs out of memory."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.runs import free_port
from train.config.run_config import RunConfig
from train.rundir.record import RunPaths, last_status, read_record, write_job

SCRIPT = Path(__file__).parents[2] / "support" / "small_rank.py"


def started(run_dir: Path, *words: str) -> list[subprocess.Popen[bytes]]:
    """Both ranks, each with a pipe for its input."""
    port = str(free_port())
    return [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(run_dir), *words],
            stdin=subprocess.PIPE,
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": os.getcwd()}
            | {"ACCELERATE_USE_CPU": "true"},
        )
        for rank in range(2)
    ]


def two_ranks(run_dir: Path) -> list[int]:
    """Exit codes of both ranks."""
    ranks = started(run_dir)
    try:
        return [rank.wait(timeout=200) for rank in ranks]
    finally:
        end(ranks)


def end(ranks: list[subprocess.Popen[bytes]]) -> None:
    for rank in ranks:
        rank.kill()
        rank.communicate()


@pytest.mark.slow
def test_all_ranks_halve_together_and_the_run_ends_as_with_room(
    tmp_path: Path, tiny_job: RunConfig, finished: Path
):
    runtime = replace(tiny_job.runtime, auto_micro_batch=True)
    write_job(tmp_path / "run", replace(tiny_job, runtime=runtime))
    assert two_ranks(tmp_path / "run") == [0, 0], last_status(tmp_path / "run")
    log = RunPaths(tmp_path / "run").log.read_text()  # of the first rank, which had room
    assert "out of memory with 2 rows at a time; trying 1" in log
    assert read_record(tmp_path / "run").loss == pytest.approx(read_record(finished).loss, rel=1e-5)


@pytest.mark.slow
def test_without_leave_to_halve_all_ranks_end_at_once_with_the_advice(tmp_path: Path, tiny_job):
    write_job(tmp_path / "run", tiny_job)
    assert two_ranks(tmp_path / "run") == [1, 1]
    row = last_status(tmp_path / "run")
    assert row["status"] == "oom"
    assert "out of memory on 1 other ranks" in row["message"]
    assert "use runtime.micro_batch=1" in row["message"]


@pytest.mark.slow
def test_a_lack_of_memory_after_the_first_steps_ends_the_ranks_that_would_wait(
    tmp_path: Path, tiny_job: RunConfig
):
    """The rank that failed stays, so that no closed connection tells the other."""
    write_job(tmp_path / "run", tiny_job)
    ranks = started(tmp_path / "run", "later")
    try:
        assert ranks[0].wait(timeout=200) == 1
        assert ranks[1].poll() is None
        row = last_status(tmp_path / "run")
        assert (row["status"], row["message"]) == ("oom", "rank 1: CUDA out of memory")
        ranks[1].communicate(timeout=100)
        assert ranks[1].returncode == 1
    finally:
        end(ranks)
