"""`python -m sweeps` with real training, as a user runs it, and with its worst faults."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from sweeps.launch.distributed import Ranks
from sweeps.launch.scheduler import QueuedRun
from sweeps.manage.status import read_sweep
from sweeps.spec.launcher import LauncherSpec
from train.rundir.record import read_record
from train.rundir.sweep_layout import run_dirs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SWEEP = (
    "sweep=grid",
    "sweep.grids.grid.d_models=[8,16]",
    "sweep.grids.grid.n_tokens=[3e4]",
    "sweep.seeds=[0,1]",
    "model.seq_len=32",
    "optim.batch_tokens=256",
    "data.val_tokens=4096",
    "runtime.save_every_seconds=1",
    "calibrate=false",
)

LONG = (*SWEEP, "sweep.grids.grid.n_tokens=[4e5]", "sweep.seeds=[0]")


def sweeps(root, *overrides, verb="launch", code=0, **environment):
    """Run `python -m sweeps VERB ROOT ...` and return what it said."""
    answer = subprocess.run(
        [sys.executable, "-m", "sweeps", verb, str(root), *overrides],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    said = answer.stdout + answer.stderr
    assert answer.returncode == code, said
    assert "Traceback" not in said
    return said


def losses(root):
    records = {path: read_record(path) for path in run_dirs(root)}
    assert all(record is not None for record in records.values())
    return {record.run_id: record.loss for record in records.values() if record}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished sweep of four runs, by the pool."""
    root = tmp_path_factory.mktemp("sweep") / "done"
    said = sweeps(root, *SWEEP)
    assert "4 to train" in said
    assert said.strip().endswith(str(root))
    return root


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """run_id -> loss of two longer runs that nothing disturbs."""
    root = tmp_path_factory.mktemp("sweep") / "straight"
    sweeps(root, *LONG)
    return losses(root)


def test_plan_prints_the_table_and_writes_nothing(tmp_path):
    root = tmp_path / "planned"
    said = sweeps(root, *SWEEP, verb="plan")
    assert "4 runs, 0 done" in said
    assert not root.exists()
    content = json.loads(sweeps(root, *SWEEP, "format=json", verb="plan"))
    assert len(content["runs"]) == 4


def test_a_launch_leaves_tables_that_agree_with_the_records(done):
    runs = pd.read_parquet(done / "runs.parquet")
    assert list(runs.status) == ["finished"] * 4
    assert dict(zip(runs.run_id, runs.loss, strict=True)) == losses(done)
    curves = pd.read_parquet(done / "curves.parquet")
    assert set(curves.run_id) == set(runs.run_id)
    assert (done / "sweep.yaml").read_text().startswith("model:")


def test_a_second_launch_trains_nothing_and_a_deleted_record_retrains_that_run_alone(done):
    assert "0 to train" in sweeps(done, *SWEEP)
    victim = run_dirs(done)[2]
    before = {path: (path / "record.json").stat().st_mtime_ns for path in run_dirs(done)}
    expected = losses(done)
    (victim / "record.json").unlink()
    assert "1 to train" in sweeps(done, *SWEEP)
    after = {path: (path / "record.json").stat().st_mtime_ns for path in run_dirs(done)}
    assert [path for path in before if before[path] != after[path]] == [victim]
    assert losses(done) == expected


def test_inline_gets_the_very_losses_of_the_pool(done, tmp_path):
    sweeps(tmp_path / "inline", *SWEEP, "launcher=inline")
    assert losses(tmp_path / "inline") == losses(done)


def test_ctrl_c_stops_cleanly_and_the_same_command_continues_to_the_same_losses(straight, tmp_path):
    root = tmp_path / "stopped"
    command = [sys.executable, "-m", "sweeps", "launch", str(root), *LONG]
    launch = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(lambda: list(root.glob("runs/*/state/step-*")))
    launch.send_signal(signal.SIGINT)
    said, _ = launch.communicate(timeout=120)
    assert launch.returncode == 130, said
    assert "run the same command again to continue" in said
    assert "preempted" in read_sweep(root).counts
    sweeps(root, *LONG)
    assert losses(root) == straight


def test_launcher_and_workers_killed_together_continue_to_the_same_losses(straight, tmp_path):
    root = tmp_path / "killed"
    command = [sys.executable, "-m", "sweeps", "launch", str(root), *LONG]
    launch = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(lambda: list(root.glob("runs/*/state/step-*")))
    workers = {json.loads(p.read_text())["pid"] for p in root.glob("runs/*/lock")}
    for pid in (launch.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    launch.wait()
    wait_for(lambda: "failed" in read_sweep(root).counts)
    sweeps(root, *LONG)
    assert losses(root) == straight


def test_a_failing_run_is_listed_with_its_reason_and_retried(tmp_path):
    root = tmp_path / "failing"
    said = sweeps(root, *SWEEP, "runtime.device=cuda", "launcher.devices=none", code=1)
    assert said.count("failed: grid-3e4tok") == 4
    assert "not available" in said
    content = json.loads(sweeps(root, "format=json", verb="status"))
    assert content["counts"] == {"failed": 4}
    assert "4 to train" in sweeps(root, *SWEEP)
    assert read_sweep(root).counts == {"finished": 4}


def test_a_launch_whose_runs_all_fail_gives_up_and_tells_its_end(tmp_path):
    told = tmp_path / "told"
    broken = ("runtime.device=cuda", "launcher.devices=none", "launcher.workers=1")
    on_end = f"launcher.on_end='sh -c \"echo $ISOFLOP_STATUS $ISOFLOP_N_FAILED > {told}\"'"
    said = sweeps(tmp_path / "s", *SWEEP, *broken, "launcher.max_failures=2", on_end, code=1)
    assert "the last 2 runs failed (launcher.max_failures=2), all with runtime.device=cuda" in said
    assert read_sweep(tmp_path / "s").counts == {"planned": 2, "failed": 2}
    assert "planned: grid" not in said
    assert told.read_text() == "stopped 2\n"


@pytest.mark.parametrize("server", ["refusing", "silent"])
def test_wandb_that_is_down_or_slow_stops_no_run_and_its_key_is_nowhere(tmp_path, server):
    """A port that refuses, and one that accepts and never answers."""
    key = "5ec2e7" * 6 + "abcd"
    with listening(server == "silent") as port:
        one = (*SWEEP, "sweep.grids.grid.d_models=[8]", "sweep.seeds=[0]")
        started = time.monotonic()
        sweeps(
            tmp_path / "w",
            *(*one, "tracker=wandb", "tracker.mode=online"),
            WANDB_API_KEY=key,
            WANDB_BASE_URL=f"http://127.0.0.1:{port}",
            WANDB_MODE="online",
            WANDB_INIT_TIMEOUT="5",
        )
    assert read_sweep(tmp_path / "w").counts == {"finished": 1}
    assert time.monotonic() - started < 300
    for path in (tmp_path / "w").rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path


class listening:
    """A loopback port that nobody listens on, or that accepts connections and stays silent."""

    def __init__(self, accepts):
        import socket

        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        if accepts:
            self._socket.listen(50)

    def __enter__(self):
        return self._socket.getsockname()[1]

    def __exit__(self, *_):
        self._socket.close()


def test_one_run_over_two_ranks_gets_the_losses_of_one(done, tmp_path):
    """Two processes joined by Accelerate, as a job of two GPUs starts them; here on CPU."""
    root = tmp_path / "ranks"
    sweeps(root, *SWEEP, "launcher=inline", "runtime.device=cpu")
    expected = losses(root)
    run_dir = run_dirs(root)[0]
    for name in ("record.json", "status.jsonl", "metrics.jsonl"):
        (run_dir / name).unlink()
    Ranks(LauncherSpec(kind="slurm", gpus=2), tmp_path / "logs").run([QueuedRun(run_dir)])
    assert losses(root) == pytest.approx(expected, rel=1e-4)
    assert json.loads((run_dir / "env.json").read_text())["processes"] == 2


def wait_for(condition, seconds=120.0):
    """Wait until a condition holds, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.1)
