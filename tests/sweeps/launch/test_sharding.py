"""Runs that no single GPU holds: all of them together, the model in shards."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.launch.distributed import rank_environment
from sweeps.launch.local import run_pool
from sweeps.launch.scheduler import QueuedRun
from sweeps.launch.sharding import is_sharded, least_bytes
from sweeps.spec.launcher import LauncherSpec
from tests.support.sweep_fixtures import FAKES, expansion, grid
from train.config.run_config import RuntimeSpec
from train.rundir.record import write_job

RANK = """
import json, os, sys
from pathlib import Path
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "CUDA_VISIBLE_DEVICES", "ACCELERATE_USE_FSDP")
path = Path(sys.argv[1]) / f"rank-{os.environ['RANK']}.json"
path.write_text(json.dumps([os.environ.get(name) for name in names]))
"""


def run_dir(tmp_path: Path, name: str, d_model: int) -> Path:
    """A run's directory; its 256 rows need some megabytes."""
    (run,) = expansion(iso=grid(budgets=[1e11], d_models=[d_model])).runs
    write_job(tmp_path / name, run.job)
    return tmp_path / name


def test_a_run_is_sharded_where_it_does_not_fit_or_as_asked(tmp_path):
    path = run_dir(tmp_path, "run", 32)
    (run,) = expansion(iso=grid(budgets=[1e11], d_models=[32])).runs
    needs = least_bytes(run.job)
    assert is_sharded(path, LauncherSpec(), needs)
    assert not is_sharded(path, LauncherSpec(), 1.2 * needs)
    assert not is_sharded(path, LauncherSpec(), None)
    assert is_sharded(path, LauncherSpec(shard="always"), None)
    assert not is_sharded(path, LauncherSpec(shard="never"), 1.0)
    halves = replace(run.job, runtime=RuntimeSpec(auto_micro_batch=True))
    assert least_bytes(halves) < needs


@pytest.mark.parametrize(("mebibytes", "shards"), [(1, True), (80_000, False)])
def test_a_pool_gives_all_cards_to_a_run_that_none_of_them_holds(
    tmp_path, monkeypatch, mebibytes, shards
):
    monkeypatch.setenv("FAKE_GPUS", "2")
    monkeypatch.setenv("FAKE_GPU_MIB", str(mebibytes))
    monkeypatch.setenv("PATH", f"{FAKES}:{os.environ['PATH']}")
    path = run_dir(tmp_path, "run", 32)
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    ends: list[str] = []
    worker = Path(__file__).parents[2] / "support" / "fake_worker.py"
    assert run_pool(
        [QueuedRun(path)],
        LauncherSpec(devices="0,1"),
        tmp_path / "logs",
        lambda task, status, message: ends.append(status),
        command=[sys.executable, str(worker)],
        ranks_command=[sys.executable, str(script)],
    )
    assert ends[0] == "running"
    found = [json.loads(p.read_text()) for p in sorted(path.glob("rank-*.json"))]
    expected = [[str(rank), "2", str(rank), "0,1", "true"] for rank in range(2)]
    assert found == (expected if shards else [])


def test_ranks_of_one_machine_meet_at_its_own_address(monkeypatch):
    """Its name need not resolve."""
    for name in ("SLURM_JOB_NODELIST", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert rank_environment(LauncherSpec(gpus=2), 0)["MASTER_ADDR"] == "127.0.0.1"
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[3-4]")
    assert rank_environment(LauncherSpec(gpus=2, nodes=2), 0)["MASTER_ADDR"] == "n3"
