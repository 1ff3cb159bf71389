"""One run when something fails: a status, a reason, and nothing lost that was there."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sweeps.directory.run_state import read_state
from tests.support.runs import metrics, start, wait_for_state, weights
from train import run as run_module
from train.config.run_config import RunConfig, TrackerSpec
from train.engine import checkpoint
from train.run import train_run
from train.rundir.record import RunPaths, last_status, read_record, write_job


def test_a_damaged_newest_state_falls_back_to_the_one_before(
    finished: Path, tmp_path: Path, tiny_job: RunConfig, monkeypatch, caplog
):
    run_dir = tmp_path / "run"
    write_job(
        run_dir, replace(tiny_job, runtime=replace(tiny_job.runtime, save_every_seconds=1e-9))
    )
    real, count = checkpoint.save_state, []

    def die_later(*args):
        real(*args)
        count.append(1)
        if len(count) == 15:
            raise RuntimeError("power cut")

    monkeypatch.setattr("train.engine.state_saver.save_state", die_later)
    assert train_run(run_dir) == "failed"
    assert "power cut" in RunPaths(run_dir).error.read_text()
    monkeypatch.undo()
    newest = sorted(RunPaths(run_dir).state.glob("step-*"))[-1]
    raw = bytearray((newest / "optimizer.safetensors").read_bytes())
    raw[-1] ^= 1
    (newest / "optimizer.safetensors").write_bytes(raw)
    assert train_run(run_dir) == "finished"
    assert "falling back to the one before" in caplog.text
    assert weights(run_dir) == weights(finished)
    assert metrics(run_dir) == metrics(finished)


def saved(run_dir: Path, job: RunConfig, monkeypatch, steps: int = 25) -> None:
    """A run that has saved its state before every step and then died."""
    write_job(run_dir, replace(job, runtime=replace(job.runtime, save_every_seconds=1e-9)))
    real, count = checkpoint.save_state, []

    def die_later(*args):
        real(*args)
        count.append(1)
        if len(count) == steps:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("train.engine.state_saver.save_state", die_later)
        assert train_run(run_dir) == "failed"


def test_a_shortened_metrics_file_falls_back_to_the_state_that_knows_less(
    finished: Path, tmp_path: Path, tiny_job: RunConfig, monkeypatch, caplog
):
    saved(tmp_path, tiny_job, monkeypatch, 21)  # states at 19 and 20, the row of step 20 between
    path = RunPaths(tmp_path).metrics
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:9])
    assert train_run(tmp_path) == "finished"
    assert "falling back to the state before" in caplog.text
    assert metrics(tmp_path) == metrics(finished)
    assert weights(tmp_path) == weights(finished)


@pytest.mark.parametrize("damage", ["shortened", "zeros", "missing"])
def test_a_metrics_file_that_no_state_fits_is_an_error_and_stays_as_it_is(
    damage, tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    saved(tmp_path, tiny_job, monkeypatch)
    path = RunPaths(tmp_path).metrics
    left = {"shortened": path.read_bytes()[:5], "zeros": bytes(path.stat().st_size)}.get(damage)
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    assert train_run(tmp_path) == "failed"
    assert "no saved state can be used" in last_status(tmp_path)["message"]
    assert "to start over" in last_status(tmp_path)["message"]
    assert (path.read_bytes() if path.exists() else None) == left
    shutil.rmtree(RunPaths(tmp_path).state)
    assert train_run(tmp_path) == "finished"
    assert b"\0" not in RunPaths(tmp_path).metrics.read_bytes()


def test_directories_that_are_no_state_are_passed_over(
    finished: Path, tmp_path: Path, tiny_job: RunConfig, monkeypatch, caplog
):
    saved(tmp_path, tiny_job, monkeypatch)
    for name in ("step-abc", "step-"):
        (RunPaths(tmp_path).state / name).mkdir()
    caplog.set_level("INFO")
    assert train_run(tmp_path) == "finished"
    assert "step-abc is no saved state and is ignored; move it away" in caplog.text
    assert "continuing at step" in caplog.text
    assert weights(tmp_path) == weights(finished)


@pytest.mark.parametrize("file", ["trainer", "progress", "weights"])
def test_a_state_of_another_release_fails_with_advice(
    file, tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    saved(tmp_path, tiny_job, monkeypatch)
    for directory in RunPaths(tmp_path).state.glob("step-*"):
        path = directory / ("model.safetensors" if file == "weights" else "trainer.json")
        if file == "weights":
            tensors = checkpoint.load_file(path)
            tensors.pop("lm_head.weight")
            checkpoint.save_file(tensors, path)
        else:
            content = json.loads(path.read_text())
            (content if file == "trainer" else content["progress"])["later"] = 1
            path.write_text(json.dumps(content))
        manifest = directory / "manifest.json"
        sums = json.loads(manifest.read_text()) | {path.name: checkpoint.sha256_of(path)}
        manifest.write_text(json.dumps(sums))
    assert train_run(tmp_path) == "failed"
    assert "by another release" in last_status(tmp_path)["message"]
    assert "to start over" in last_status(tmp_path)["message"]


def test_divergence_ends_the_run_with_its_last_good_numbers(tmp_path: Path, tiny_job: RunConfig):
    spec = replace(tiny_job.spec, optim=replace(tiny_job.spec.optim, lr_peak=1e18, grad_clip=1e18))
    write_job(tmp_path / "run", replace(tiny_job, spec=spec))
    assert train_run(tmp_path / "run") == "diverged"
    record = read_record(tmp_path / "run")
    assert record.status == "diverged"
    assert "training loss" in record.message
    assert record.n_steps < 40
    assert record.loss is None or math.isfinite(record.loss)


def test_a_fault_becomes_a_status_and_a_reason(tmp_path: Path, tiny_job: RunConfig, monkeypatch):
    write_job(tmp_path / "run", tiny_job)

    def broken(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(run_module, "initial_model", broken)
    assert train_run(tmp_path / "run") == "oom"
    message = last_status(tmp_path / "run")["message"]
    assert message.startswith("4 rows at a time do not fit (CUDA out of memory)")
    assert "runtime.micro_batch=2" in message
    assert "Traceback" in RunPaths(tmp_path / "run").error.read_text()
    monkeypatch.undo()
    assert train_run(tmp_path / "run") == "finished"
    assert not RunPaths(tmp_path / "run").error.exists()


def test_out_of_memory_halves_the_rows_until_they_fit(
    finished: Path, tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    """A device that holds one row only, found out in the middle of the run."""
    from train.model.build import SummedLoss

    real, calls = SummedLoss.forward, []

    def small_device(self, tokens, labels, masked=False):
        calls.append(len(tokens))
        if self.training and len(calls) > 12 and len(tokens) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return real(self, tokens, labels, masked)

    monkeypatch.setattr(SummedLoss, "forward", small_device)
    runtime = replace(tiny_job.runtime, auto_micro_batch=True)
    write_job(tmp_path / "run", replace(tiny_job, runtime=runtime))
    assert train_run(tmp_path / "run") == "finished"
    assert calls[-5] == 1
    assert read_record(tmp_path / "run").loss == pytest.approx(read_record(finished).loss, 1e-4)


def test_a_full_disk_while_saving_is_one_clear_line_and_loses_nothing(
    finished: Path, tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    run_dir = tmp_path / "run"
    write_job(
        run_dir, replace(tiny_job, runtime=replace(tiny_job.runtime, save_every_seconds=1e-9))
    )
    real, saves = checkpoint.save_file, []

    def full(tensors, path):
        saves.append(path)
        if len(saves) == 20:
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    assert train_run(run_dir) == "failed"
    assert "No space left on device" in last_status(run_dir)["message"]
    left = sorted(path.name for path in RunPaths(run_dir).state.iterdir())
    assert len(left) == 2
    monkeypatch.undo()
    assert train_run(run_dir) == "finished"
    assert weights(run_dir) == weights(finished)


LIMITED = (
    "import resource, runpy, sys\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)\n"
    "runpy.run_module('train.run', run_name='__main__')"
)


@pytest.mark.parametrize("n_bytes", [60, 300, 20_000])
def test_files_that_find_no_room_end_the_run_with_one_line_each_and_nothing_else(
    n_bytes, finished: Path, tmp_path: Path, tiny_job: RunConfig
):
    """A limit on the size of files: for status.jsonl, for train.log, for the first state."""
    run_dir = tmp_path / "run"
    runtime = replace(tiny_job.runtime, save_every_seconds=1e-9)
    write_job(run_dir, replace(tiny_job, runtime=runtime))
    command = [sys.executable, "-c", LIMITED, str(n_bytes), str(run_dir)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = answer.stdout + answer.stderr
    assert answer.returncode in (1, 2), printed
    assert "File too large" in printed
    assert "Traceback" not in printed
    assert read_state(run_dir).status != "running"
    assert not RunPaths(run_dir).lock.exists()
    assert train_run(run_dir) == "finished"
    assert weights(run_dir) == weights(finished)


@contextmanager
def small_disk(directory: Path, options: str) -> Iterator[None]:
    """A file system in memory, where this process may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.mark.parametrize("options", ["size=8k", "size=16k", "size=1m,nr_inodes=6"])
def test_a_disk_that_holds_next_to_nothing_is_one_clear_reason(
    options, tmp_path: Path, tiny_job: RunConfig, caplog, capsys
):
    """8 kB leave no room for a status line, six inodes none for the log."""
    with small_disk(tmp_path, options):
        write_job(tmp_path / "run", tiny_job)
        assert train_run(tmp_path / "run") == "failed"
        assert read_state(tmp_path / "run").status in ("failed", "planned")
    printed = caplog.text + capsys.readouterr().err
    assert "No space left on device" in printed
    assert "Traceback" not in printed


def test_a_state_of_another_run_is_refused(
    tmp_path: Path, tiny_job: RunConfig, longer_job: RunConfig
):
    write_job(
        tmp_path / "a",
        replace(longer_job, runtime=replace(longer_job.runtime, save_every_seconds=1e-9)),
    )
    process = start(tmp_path / "a")
    wait_for_state(tmp_path / "a", process)
    process.kill()
    process.wait()
    write_job(tmp_path / "b", tiny_job)
    shutil.copytree(RunPaths(tmp_path / "a").state, RunPaths(tmp_path / "b").state)
    assert train_run(tmp_path / "b") == "failed"
    assert "belongs to run" in last_status(tmp_path / "b")["message"]


def test_wandb_that_fails_never_stops_training(
    tmp_path: Path, tiny_job: RunConfig, monkeypatch, caplog
):
    import wandb

    def refuse(**_):
        raise RuntimeError("no such host")

    monkeypatch.setattr(wandb, "init", refuse)
    write_job(tmp_path / "run", replace(tiny_job, tracker=TrackerSpec(kind="wandb", mode="online")))
    assert train_run(tmp_path / "run") == "finished"
    assert "W&B is off for this run" in caplog.text
