"""Kernels on disk that a killed compiler left half written."""

import importlib.util
from pathlib import Path

import pytest

from train import run as run_module
from train.engine.compile import discard_damaged_kernel
from train.run import train_run
from train.rundir.record import write_job


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
