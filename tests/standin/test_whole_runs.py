"""Whole runs on the stand-in device against the same runs on the CPU."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from tests.standin.apart import on_standin
from tests.standin.device import CARD
from train.config.run_config import RunConfig
from train.rundir.record import RunPaths, RunRecord, last_status, read_record, write_job

TOLERANCE = {"fp32": 1e-4, "bf16": 5e-3}


def trained(run_dir: Path, job: RunConfig, **runtime) -> RunRecord:
    """The record of a finished run."""
    from train.run import train_run

    write_job(run_dir, replace(job, runtime=replace(job.runtime, **runtime)))
    status = train_run(run_dir)
    assert status == "finished", RunPaths(run_dir).error.read_text()
    record = read_record(run_dir)
    assert record is not None
    return record


def job_of(job: RunConfig, family: str, precision: str) -> RunConfig:
    spec = replace(job.spec, precision=precision, model=replace(job.spec.model, family=family))
    return replace(job, spec=spec)


@pytest.mark.parametrize(
    ("family", "data", "precision"),
    [
        *product(("llama", "qwen3", "gpt2"), ("text", "masked"), ("fp32", "bf16")),
        *(("olmo2", "text", "fp32"), ("olmo2", "masked", "bf16")),
        # By transformers' own pass.
        *(("gemma2", "masked", "fp32"), ("mixtral", "text", "fp32")),
    ],
)
@on_standin
def test_a_run_ends_as_on_the_cpu(tmp_path, tiny_job, masked_job, data, family, precision):
    job = job_of(tiny_job if data == "text" else masked_job, family, precision)
    on_cpu = trained(tmp_path / "cpu", job, device="cpu")
    on_card = trained(tmp_path / "card", job, device="auto")
    assert (on_cpu.device, on_card.device) == ("cpu", CARD)
    assert on_card.loss == pytest.approx(on_cpu.loss, rel=TOLERANCE[precision])


@on_standin
def test_micro_batches_sum_to_the_same_step(tmp_path, masked_job):
    whole = trained(tmp_path / "whole", masked_job, device="auto")
    parts = trained(tmp_path / "parts", masked_job, device="auto", micro_batch=3)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)


@on_standin
def test_a_run_by_ligers_loss_ends_as_one_in_chunks_and_says_which_it_was(tmp_path, masked_job):
    """The stand-in for CUDA is none to Liger, until the test says so."""
    import sys
    from unittest import mock

    from tests.support import fake_liger
    from train.speed import choice

    chunked = trained(tmp_path / "chunked", masked_job, device="auto", loss="liger")
    assert "loss=liger: its kernels need CUDA" in RunPaths(tmp_path / "chunked").log.read_text()
    with (
        mock.patch.object(choice, "liger_lacks", lambda device: ""),
        mock.patch.dict(sys.modules, {fake_liger.NAME: fake_liger}),
    ):
        liger = trained(tmp_path / "liger", masked_job, device="auto", loss="liger")
    assert (chunked.kernels, liger.kernels) == ("library", "library, Liger's loss")
    assert fake_liger.calls
    assert liger.loss == pytest.approx(chunked.loss, rel=1e-5)


@on_standin
def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, tiny_job):
    from train import run

    job = replace(tiny_job, runtime=replace(tiny_job.runtime, device="auto", log_every=5))
    whole = trained(tmp_path / "whole", job)
    write_job(tmp_path / "parts", job)
    real = run.stop_requests
    run.stop_requests = lambda: _StopAfter(15)
    try:
        assert run.train_run(tmp_path / "parts") == "preempted"
    finally:
        run.stop_requests = real
    assert last_status(tmp_path / "parts")["status"] == "preempted"
    assert trained(tmp_path / "parts", job).loss == whole.loss
    one, two = (RunPaths(tmp_path / name).checkpoint for name in ("whole", "parts"))
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@on_standin
def test_a_run_leaves_nothing_on_the_device(tmp_path, tiny_job, precision):
    """With Python's search for cycles off, so that none has to be found first."""
    import gc

    from tests.standin import device

    gc.collect()
    gc.disable()
    try:
        before = device.allocated()
        trained(tmp_path / "run", job_of(tiny_job, "llama", precision), device="auto")
        assert device.allocated() == before
    finally:
        gc.enable()


@on_standin
def test_out_of_memory_halves_the_rows_until_they_fit(tmp_path, tiny_job):
    from tests.standin import device

    optim = replace(tiny_job.spec.optim, batch_tokens=8192)
    horizon = replace(tiny_job.spec.horizon, n_tokens=3 * 8192.0)
    spec = replace(tiny_job.spec, optim=optim, horizon=horizon, n_steps=3)
    job = replace(tiny_job, spec=spec)
    roomy = trained(tmp_path / "roomy", job, device="auto")
    parts = trained(tmp_path / "parts", job, device="auto", micro_batch=64)
    limit = (roomy.peak_memory_bytes + parts.peak_memory_bytes) // 2
    assert parts.peak_memory_bytes < limit < roomy.peak_memory_bytes
    with device.memory_limit(limit):
        small = trained(tmp_path / "small", job, device="auto", auto_micro_batch=True)
    assert "out of memory with 256 rows" in RunPaths(tmp_path / "small").log.read_text()
    assert small.peak_memory_bytes <= limit
    assert small.loss == pytest.approx(roomy.loss, rel=1e-5)


@on_standin
def test_after_an_error_of_the_device_the_process_knows_that_it_can_not_go_on(tmp_path, tiny_job):
    from tests.standin import device
    from train.engine.device import is_usable
    from train.run import train_run

    assert is_usable()
    write_job(tmp_path / "run", replace(tiny_job, runtime=replace(tiny_job.runtime, device="auto")))
    with device.device_error_after(500):
        assert train_run(tmp_path / "run") == "failed"
        assert "device-side assert" in RunPaths(tmp_path / "run").error.read_text()
        assert not is_usable()
    with device.memory_limit(1):
        assert is_usable()


class _StopAfter:
    """A stop that is asked for at the given step."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __enter__(self) -> "_StopAfter":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0
