import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.runs import metrics, wsd
from train.config.run_config import RunConfig
from train.run import train_run
from train.rundir.atomic import read_jsonl
from train.rundir.record import RunPaths, last_status, read_record, write_job


def trained(root: Path, job: RunConfig, name: str) -> Path:
    run_dir = root / "runs" / name
    write_job(run_dir, job)
    assert train_run(run_dir) == "finished", last_status(run_dir)
    return run_dir


@pytest.fixture(scope="module")
def scratch(tmp_path_factory, tiny_job: RunConfig) -> Path:
    """Eighty steps without a trunk."""
    return trained(tmp_path_factory.mktemp("scratch"), wsd(tiny_job, 80, branch=False), "long")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, tiny_job: RunConfig) -> Path:
    """A sweep whose short run left its trunk at step 32, and its middle one at step 48."""
    root = tmp_path_factory.mktemp("sweep")
    for n_steps in (40, 60):
        trained(root, wsd(tiny_job, n_steps), str(n_steps))
    return root


@pytest.fixture
def copy(sweep: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sweep, tmp_path / "copy")


def same_result(run_dir: Path, scratch: Path) -> None:
    """The same weights, and from the decay on the same curve, to the last bit."""
    weights = [RunPaths(path).checkpoint / "model.safetensors" for path in (run_dir, scratch)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    curves = [metrics(path) for path in (run_dir, scratch)]
    tails = [[row for row in curve if row["step"] > 64] for curve in curves]
    assert tails[0] == tails[1] != []
    records = [read_record(path) for path in (run_dir, scratch)]
    for name in ("loss", "train_loss", "flops", "n_tokens", "n_steps", "trunk_id", "run_id"):
        assert getattr(records[0], name) == getattr(records[1], name)


def test_a_branch_ends_with_the_bits_of_a_run_from_the_start(copy, tiny_job, scratch):
    run_dir = trained(copy, wsd(tiny_job, 80), "long")
    same_result(run_dir, scratch)
    record = read_record(run_dir)
    assert record.branched_from == 48
    assert record.flops_spent == pytest.approx(record.flops * 32 / 80)
    assert read_record(scratch).flops_spent == record.flops
    assert read_record(scratch).branched_from is None


def test_a_trunk_is_extended_by_each_longer_run(copy: Path, tiny_job: RunConfig):
    assert read_record(copy / "runs/60").branched_from == 32
    trained(copy, wsd(tiny_job, 80), "long")
    (trunk,) = (copy / "trunks").iterdir()
    assert sorted(path.name for path in trunk.iterdir()) == [
        "step-000000032", "step-000000048", "step-000000064"
    ]  # fmt: skip


def test_the_curve_of_a_branch_is_that_of_its_trunk_and_then_its_own(copy, tiny_job):
    rows = read_jsonl(RunPaths(trained(copy, wsd(tiny_job, 80), "long")).metrics)
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps))
    assert {10, 20, 30, 32, 40, 48, 64, 80} <= set(steps)


def test_a_damaged_trunk_state_costs_time_alone(copy, tiny_job, scratch, caplog):
    (newest,) = (copy / "trunks").glob("*/step-000000048")
    raw = bytearray((newest / "metrics.jsonl").read_bytes())
    raw[3] ^= 1
    (newest / "metrics.jsonl").write_bytes(raw)
    run_dir = trained(copy, wsd(tiny_job, 80), "long")
    assert "falling back to the one before" in caplog.text
    assert read_record(run_dir).branched_from == 32
    same_result(run_dir, scratch)


def test_without_trunks_a_run_starts_anew_to_the_same_bits(copy, tiny_job, scratch):
    shutil.rmtree(copy / "trunks")
    run_dir = trained(copy, wsd(tiny_job, 80), "long")
    assert read_record(run_dir).branched_from is None
    same_result(run_dir, scratch)


def test_a_trunk_that_can_not_be_written_stops_no_run(copy, tiny_job, scratch, caplog):
    shutil.rmtree(copy / "trunks")
    (copy / "trunks").write_text("a file in the way")
    same_result(trained(copy, wsd(tiny_job, 80), "long"), scratch)
    assert "no state left for branches" in caplog.text


def test_a_kept_model_before_the_branch_is_trained_again(copy, tiny_job):
    run_dir = trained(copy, wsd(tiny_job, 80, keep_checkpoints=[0.5]), "long")
    assert read_record(run_dir).branched_from == 32
    kept = RunPaths(run_dir).checkpoint_at(40)
    assert json.loads((kept / "isoflop.json").read_text())["step"] == 40


def test_a_run_in_no_sweep_trains_alone_and_says_so(tmp_path, tiny_job, scratch, caplog):
    write_job(tmp_path / "alone", wsd(tiny_job, 80))
    caplog.set_level("INFO")
    assert train_run(tmp_path / "alone") == "finished"
    assert "lies in no sweep's folder of runs" in caplog.text
    same_result(tmp_path / "alone", scratch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_in_a_branch_it_ends_with_the_same_bits(seed, copy, tiny_job, scratch):
    run_dir = copy / "runs" / "long"
    write_job(run_dir, wsd(tiny_job, 80, save_every_seconds=1e-9))
    process = subprocess.Popen(
        [sys.executable, "-m", "train.run", str(run_dir)], stdout=subprocess.DEVNULL
    )
    while process.poll() is None and not list(RunPaths(run_dir).state.glob("step-*")):
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert train_run(run_dir) == "finished"
    assert read_record(run_dir).branched_from == 48
    same_result(run_dir, scratch)
