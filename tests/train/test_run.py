"""One run from its directory: it trains, resumes to the same bits, and is not done twice."""

import gc
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.runs import free_port, metrics, start, wait_for_state, weights
from train import run as run_module
from train.config.run_config import RunConfig, TrackerSpec
from train.engine import build_record
from train.engine.loop import evaluate
from train.run import train_run
from train.rundir.atomic import read_jsonl
from train.rundir.record import RunPaths, last_status, read_record, write_job
from train.trackers.mirror import read_mirror


def test_a_run_learns_and_its_record_adds_up(finished: Path, tiny_job: RunConfig):
    record, rows = read_record(finished), read_jsonl(RunPaths(finished).metrics)
    assert record.status == "finished"
    assert record.n_tokens == record.n_steps * record.batch_tokens == 40 * 128
    assert record.loss < math.log(257) - 0.5
    assert record.bits_per_byte == pytest.approx(record.loss / math.log(2), rel=1e-3)
    evals = [row for row in rows if "loss" in row]
    assert [row["step"] for row in evals] == [10, 20, 30, 40]
    assert evals[-1]["loss"] == record.loss
    assert evals[-1]["flops"] == record.flops
    assert rows[-1]["lr"] == pytest.approx(tiny_job.spec.optim.lr_peak * 0.1, rel=0.1)


def test_the_checkpoint_loads_in_transformers_and_has_the_recorded_loss(finished, tiny_job):
    """The loss of the loaded model on the validation windows equals the record's."""
    from train.data.dataset import Dataset
    from train.engine.device import make_accelerator
    from train.model.build import SummedLoss

    directory = RunPaths(finished).checkpoint
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert tokenizer.decode(tokenizer("file 3 line")["input_ids"]) == "file 3 line"
    dataset = Dataset.open(tiny_job.spec)
    # Its own: a bare Accelerator() keeps the precision of the run that this process made before.
    accelerator = make_accelerator(replace(tiny_job.runtime, device="cpu"), "fp32")
    losses = evaluate(tiny_job.spec, dataset, SummedLoss(model), accelerator)
    assert losses["text"] == pytest.approx(read_record(finished).loss, rel=1e-6)


def test_checkpoints_carry_checksums_that_standard_tools_read(finished: Path):
    directory = RunPaths(finished).checkpoint
    answer = subprocess.run(
        ["sha256sum", "--strict", "--check", "SHA256SUMS"], cwd=directory, check=True, text=True,
        capture_output=True,
    )  # fmt: skip
    assert "model.safetensors: OK" in answer.stdout
    listed = {line.split("  ")[1] for line in (directory / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.name for path in directory.iterdir()} - {"SHA256SUMS"}


def test_all_files_of_a_run_can_be_read_by_whoever_the_umask_lets(finished: Path):
    """safetensors alone would create weights that nobody but their owner can read."""
    files = [path for path in finished.rglob("*") if path.is_file() and path.name[0] != "."]
    modes = {str(path.relative_to(finished)): path.stat().st_mode & 0o777 for path in files}
    assert "checkpoint/model.safetensors" in modes
    assert set(modes.values()) == {finished.stat().st_mode & 0o666}, modes


def test_a_done_run_is_not_touched_again(finished: Path):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    assert train_run(finished) == "finished"
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_training_twice_gives_the_same_bits(finished: Path, tmp_path: Path, tiny_job: RunConfig):
    write_job(tmp_path / "again", tiny_job)
    train_run(tmp_path / "again")
    assert weights(tmp_path / "again") == weights(finished)
    assert metrics(tmp_path / "again") == metrics(finished)


def test_accumulation_changes_nothing_but_rounding(finished, tmp_path: Path, tiny_job: RunConfig):
    job = replace(tiny_job, runtime=replace(tiny_job.runtime, micro_batch=1))
    write_job(tmp_path / "micro", job)
    train_run(tmp_path / "micro")
    assert read_record(tmp_path / "micro").loss == pytest.approx(read_record(finished).loss, 1e-4)


@contextmanager
def stop_after(steps: int) -> Iterator[Callable[[], bool]]:
    """Stop requests that come after so many steps."""
    asked = iter(range(1000))
    yield lambda: next(asked) >= steps


def test_interrupted_at_every_kind_of_step_it_ends_with_the_same_bits(
    finished: Path, tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    run_dir = tmp_path / "run"
    write_job(run_dir, tiny_job)
    for steps in (0, 7, 3, 13):
        monkeypatch.setattr(run_module, "stop_requests", lambda steps=steps: stop_after(steps))
        assert train_run(run_dir) == "preempted"
        assert last_status(run_dir)["status"] == "preempted"
    monkeypatch.undo()
    assert train_run(run_dir) == "finished"
    assert weights(run_dir) == weights(finished)
    assert metrics(run_dir) == metrics(finished)
    assert not RunPaths(run_dir).state.exists()


def test_intermediate_checkpoints_are_kept_where_asked(tmp_path: Path, tiny_job: RunConfig):
    job = replace(tiny_job, runtime=replace(tiny_job.runtime, keep_checkpoints=[0.25, 0.5]))
    write_job(tmp_path / "run", job)
    train_run(tmp_path / "run")
    kept = RunPaths(tmp_path / "run").checkpoint_at(10)
    assert json.loads((kept / "isoflop.json").read_text())["step"] == 10
    AutoModelForCausalLM.from_pretrained(RunPaths(tmp_path / "run").checkpoint_at(20))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("ISOFLOP_KILLS", "5"))))
def test_killed_at_a_random_moment_it_ends_with_the_same_bits(
    seed: int, tmp_path: Path, longer_job: RunConfig, reference: Path
):
    """State is written before every step, so most kills fall into the middle of a write."""
    run_dir = tmp_path / "run"
    write_job(
        run_dir, replace(longer_job, runtime=replace(longer_job.runtime, save_every_seconds=1e-9))
    )
    process = start(run_dir)
    wait_for_state(run_dir, process)
    time.sleep(random.Random(seed).uniform(0, 1.5))
    process.send_signal(signal.SIGKILL if seed % 2 == 0 else signal.SIGTERM)
    code = process.wait()
    assert code in (0, 75, -signal.SIGKILL)
    assert train_run(run_dir) == "finished"
    assert weights(run_dir) == weights(reference)
    assert metrics(run_dir) == metrics(reference)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, longer_job: RunConfig) -> Path:
    run_dir = tmp_path_factory.mktemp("reference") / "run"
    write_job(run_dir, longer_job)
    assert train_run(run_dir) == "finished"
    return run_dir


@pytest.mark.slow
def test_two_processes_see_the_same_tokens_and_reach_the_same_loss(
    tmp_path: Path, finished: Path, tiny_job: RunConfig
):
    write_job(tmp_path / "run", tiny_job)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    subprocess.run(
        [*launch, "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
         "--dynamo_backend", "no", "--main_process_port", str(free_port()), "-m", "train.run",
         str(tmp_path / "run")],
        check=True,
        timeout=200,
    )  # fmt: skip
    assert json.loads(RunPaths(tmp_path / "run").env.read_text())["processes"] == 2
    assert read_record(tmp_path / "run").loss == pytest.approx(read_record(finished).loss, rel=1e-5)


def test_wandb_offline_mirrors_the_run(tmp_path: Path, tiny_job: RunConfig):
    tracker = TrackerSpec(kind="wandb", mode="offline", project="tests")
    write_job(tmp_path / "run", replace(tiny_job, tracker=tracker))
    assert train_run(tmp_path / "run") == "finished"
    offline = list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert len(offline) == 1
    assert read_mirror(tmp_path / "run").id in offline[0].name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*lru_cache:UserWarning")
def test_a_warm_worker_compiles_run_after_run(
    finished: Path, tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    """Traced again each time; without kernels, whose first build alone takes a minute."""
    counters, real, before = torch._dynamo.utils.counters["frames"], torch.compile, []

    def uncompiled(module, **how):
        before.append(counters["total"])
        return real(module, backend="eager", **how)

    monkeypatch.setattr(torch, "compile", uncompiled)
    runtime = replace(tiny_job.runtime, compile="on")
    for name in ("first", "second"):
        write_job(tmp_path / name, replace(tiny_job, runtime=runtime))
        assert train_run(tmp_path / name) == "finished"
        assert read_record(tmp_path / name).loss == pytest.approx(read_record(finished).loss, 1e-5)
    first, second = before
    assert counters["total"] - second == second - first > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nothing_of_a_run_is_left_in_a_warm_worker(tmp_path: Path, tiny_job: RunConfig, precision):
    """RunArrays with Python's search for cycles off, so that none has to be found first."""
    gc.collect()
    gc.disable()
    try:
        before = n_parameters()
        write_job(tmp_path / "run", with_precision(tiny_job, precision))
        assert train_run(tmp_path / "run") == "finished"
        assert n_parameters() == before
    finally:
        gc.enable()


def with_precision(job: RunConfig, precision: str) -> RunConfig:
    return replace(job, spec=replace(job.spec, precision=precision))


def n_parameters() -> int:
    return sum(type(each) is torch.nn.Parameter for each in gc.get_objects())


def test_an_installed_package_records_no_commit_of_the_project_that_it_lies_in(
    tmp_path, monkeypatch
):
    project = tmp_path / "project"
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@b"]
    project.mkdir()
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    (project / "site-packages").mkdir()
    monkeypatch.setattr(build_record, "ROOT", project / "site-packages")
    build_record._commit.cache_clear()
    assert build_record._commit() is None
    build_record._commit.cache_clear()


def test_a_run_that_its_sweep_stopped_keeps_that_end(tmp_path: Path, tiny_job: RunConfig):
    """The word is read between two lines of metrics; no later launch trains the run on."""
    write_job(tmp_path, tiny_job)
    RunPaths(tmp_path).early_stop.write_text(json.dumps({"reason": "alternatives do better"}))
    assert train_run(tmp_path) == "stopped"
    record = read_record(tmp_path)
    assert record is not None and record.message == "alternatives do better"
    assert 0 < record.n_tokens < 40 * 128
    assert train_run(tmp_path) == "stopped"
    assert read_record(tmp_path) == record
