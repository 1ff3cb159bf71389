"""What is compiled and when, and kernels on disk that a killed compiler left half written."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from train import run as run_module
from train.config.run_config import RunConfig, RuntimeSpec
from train.engine import evaluate, loop
from train.engine.compile import discard_damaged_kernel, uses_graphs
from train.run import train_run
from train.rundir.record import read_record, write_job
from train.speed.choice import compiles


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    path.mkdir()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(path))
    return path


def half_written(directory: Path) -> tuple[Path, RuntimeError]:
    """An empty library, and what torch's compiler says of one."""
    kernel = directory / "kernel.main.so"
    kernel.write_bytes(b"")
    return kernel, RuntimeError(f"ImportError: {kernel}: file too short")


def loading_error(library: Path) -> ImportError:
    """What Python itself says of a library that it can't load."""
    spec = importlib.util.spec_from_file_location("kernel", library)
    with pytest.raises(ImportError) as caught:
        importlib.util.module_from_spec(spec)
    return caught.value


def test_what_the_loader_says_of_a_real_file_is_understood(cache):
    kernel, _ = half_written(cache)
    assert discard_damaged_kernel(loading_error(kernel)) == kernel
    kernel.write_bytes(b"\x00" * 4096)
    assert discard_damaged_kernel(loading_error(kernel)) == kernel
    assert not kernel.exists()


def test_a_half_written_kernel_is_deleted(cache):
    kernel, error = half_written(cache)
    assert discard_damaged_kernel(error) == kernel
    assert not kernel.exists()
    assert discard_damaged_kernel(error) is None  # or a run would try for ever


def test_nothing_else_is_deleted(cache, tmp_path, monkeypatch):
    elsewhere, error = half_written(tmp_path)
    assert discard_damaged_kernel(error) is None
    kernel, error = half_written(cache)
    assert discard_damaged_kernel(RuntimeError(f"can't allocate memory: {kernel}")) is None
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    assert discard_damaged_kernel(error) is None
    assert elsewhere.exists()
    assert kernel.exists()


def test_a_run_that_finds_one_compiles_anew(cache, tmp_path, tiny_job, monkeypatch):
    kernel, error = half_written(cache)
    real = run_module._train

    def damaged_at_first(*arguments):
        if kernel.exists():
            raise error
        return real(*arguments)

    monkeypatch.setattr(run_module, "_train", damaged_at_first)
    write_job(tmp_path / "run", tiny_job)
    assert train_run(tmp_path / "run") == "finished"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_compiled_run_is_two_graphs_which_are_there_before_its_clock_starts(
    tmp_path: Path, tiny_job: RunConfig, monkeypatch: pytest.MonkeyPatch, family: str
):
    """Training and validation, whose last batch is shorter than the others."""
    shapes, there = [], []
    compiles = torch.compile

    def keep(graph, inputs):
        shapes.append([tuple(x.shape) for x in inputs if x.dtype == torch.long])
        return graph.forward

    def step(*arguments):
        there.append(len(shapes))
        return real(*arguments)

    real = loop.optimizer_step
    monkeypatch.setattr(
        torch, "compile", lambda module, **how: compiles(module, backend=keep, **how)
    )
    monkeypatch.setattr(loop, "optimizer_step", step)
    model = replace(tiny_job.spec.model, family=family)
    spec = replace(tiny_job.spec, model=model)
    rows = 3 * spec.model.seq_len
    assert spec.data.val_tokens / spec.model.seq_len % rows
    monkeypatch.setattr(evaluate, "EVAL_TOKENS", rows * spec.model.seq_len)
    records = []
    for compiled in ("off", "on"):
        job = replace(tiny_job, spec=spec, runtime=replace(tiny_job.runtime, compile=compiled))
        write_job(tmp_path / compiled, job)
        assert train_run(tmp_path / compiled) == "finished"
        records.append(read_record(tmp_path / compiled))
    assert len(shapes) == 2, shapes
    assert set(there[-spec.n_steps :]) == {2}
    assert records[1].loss == pytest.approx(records[0].loss, rel=1e-5)
    assert records[0].compile_seconds == 0 < records[1].compile_seconds


def test_graphs_are_for_steps_of_one_pass_on_a_gpu_and_only_as_asked():
    asked = RuntimeSpec(compile="graphs", micro_batch=8)
    assert compiles(asked, "cpu", 0.0)
    assert uses_graphs(asked, "cuda", rows=8)
    assert not uses_graphs(asked, "cuda", rows=9)
    assert not uses_graphs(asked, "cpu", rows=8)
    assert not uses_graphs(RuntimeSpec(compile="on"), "cuda", rows=8)
