"""The Multi-Process Service, whose control program is a script here."""

import os
import sys
from pathlib import Path

import pytest

from sweeps.launch.local import run_pool
from sweeps.launch.mps import CONTROL, NoMpsError, mps
from sweeps.launch.scheduler import QueuedRun
from sweeps.spec.launcher import LauncherSpec

SCRIPT = """#!/bin/sh
echo "$@ $(cat) $CUDA_MPS_PIPE_DIRECTORY" >> {log}
exit {status}
"""


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in PATH for the program, which notes its arguments, its input and its pipes."""
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin" / CONTROL


def write(control: Path, status: int) -> Path:
    log = control.with_suffix(".log")
    control.write_text(SCRIPT.format(log=log, status=status))
    control.chmod(0o755)
    return log


def test_it_runs_for_the_block_and_is_told_to_quit_even_after_an_error(control, tmp_path):
    log = write(control, 0)
    with pytest.raises(KeyError), mps(tmp_path / "mps") as environment:
        pipes = environment["CUDA_MPS_PIPE_DIRECTORY"]
        assert Path(pipes).is_dir()
        assert len(pipes) < 100  # or the service could not open its socket
        raise KeyError
    begun, ended = log.read_text().splitlines()
    assert begun.split() == ["-d", pipes]
    assert ended.split() == ["quit", pipes]
    assert not Path(pipes).exists()


def test_without_the_program_or_where_it_fails_the_reason_is_said(control, tmp_path):
    with pytest.raises(NoMpsError, match="not installed"), mps(tmp_path / "mps"):
        pass
    write(control, 1)
    with pytest.raises(NoMpsError, match="failed: 1"), mps(tmp_path / "mps"):
        pass


def test_a_service_that_runs_already_is_left_alone(control, tmp_path, monkeypatch):
    log = write(control, 0)
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/somebody/elses")
    with mps(tmp_path / "mps") as environment:
        assert environment == {}
    assert not log.exists()


@pytest.mark.parametrize(("runs_per_device", "status"), [(2, 0), (1, 0), (2, 1)])
def test_a_pool_has_it_where_runs_share_a_card_and_goes_on_without(
    control, tmp_path, caplog, runs_per_device, status
):
    log = write(control, status)
    seen: list[str | None] = []
    worker = Path(__file__).parents[2] / "support" / "fake_worker.py"
    assert run_pool(
        [QueuedRun(tmp_path / "run")],
        LauncherSpec(devices="0", runs_per_device=runs_per_device, mps=True),
        tmp_path / "logs",
        lambda task, status, message: seen.append(os.environ.get("CUDA_MPS_PIPE_DIRECTORY")),
        command=[sys.executable, str(worker)],
    )
    works = runs_per_device == 2 and status == 0
    assert seen and all((pipes is not None) == works for pipes in seen)
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert log.exists() == (runs_per_device == 2)
    assert ("failed: 1" in caplog.text) == (status == 1)
