"""The device that is checked, and the small runs that are trained on it."""

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from train.commands.processes import python_command, python_environment
from train.config.resolve import resolve
from train.config.run_config import RunConfig, RuntimeSpec
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    IsoflopError,
    ModelSpec,
    OptimSpec,
    RunSpec,
    SourceSpec,
)
from train.data.dataset import describe
from train.engine.device import device_name
from train.rundir.record import RunPaths, RunRecord, read_record, write_job

N_FILES, N_LINES = 20, 150


@dataclass(frozen=True)
class Card:
    """`real` is False on a stand-in: what only hardware can show is carried out and not judged."""

    device: torch.device
    out: Path
    real: bool

    @property
    def module(self) -> Any:
        """`torch.cuda`, or what another kind of device has in its place."""
        return torch.get_device_module(self.device)

    @property
    def name(self) -> str:
        return device_name(self.device)

    def job(self, data: str = "text", n_steps: int = 40, **changes: Any) -> RunConfig:
        """A run of a 64-wide model (32 on a stand-in) on generated text or masked sums.

        Args:    changes: of the model (family, ...), `rows` a step, and `precision`.
        """
        precision = changes.pop("precision", "fp32")
        rows = changes.pop("rows", 8 if data == "text" else 32)
        small = {"d_model": 64 if self.real else 32, "n_layers": 2}
        shape = {**small, "seq_len": 64 if data == "text" else 20, **changes}
        source = self._text() if data == "text" else _sums()
        n_val = (2048 if self.real else 512) if data == "text" else 640
        spec_data = DataSpec(parts={data: source}, val_tokens=n_val, max_epochs=1e9)
        requested = RunSpec(
            data=spec_data,
            horizon=HorizonSpec(n_tokens=float(n_steps * rows * shape["seq_len"])),
            model=ModelSpec(**shape),
            optim=OptimSpec(batch_tokens=rows * shape["seq_len"]),
            precision=precision,
        )
        spec = resolve(requested, describe(spec_data, shape["seq_len"]))
        runtime = RuntimeSpec(n_evals=2, compile="off")
        return RunConfig(spec=spec, runtime=runtime, name=data)

    def run_dir(self, name: str, job: RunConfig, **runtime: Any) -> Path:
        """The directory of a run, written and not trained."""
        path = self.out / "runs" / name
        write_job(path, replace(job, runtime=replace(job.runtime, **runtime)))
        return path

    def child(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        """A process of `sweeps.gpu_check.child` with pipes; it has the stand-in where this has."""
        return subprocess.Popen(
            python_command("sweeps.gpu_check.child", *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=python_environment({**os.environ, **environment}),
            text=True,
        )

    def trained(self, name: str, job: RunConfig, **runtime: Any) -> RunRecord:
        """The record of a run that was trained in this process.

        Raises:  IsoflopError: it did not end well.
        """
        from train.run import train_run

        run_dir = self.run_dir(name, job, **runtime)
        status = train_run(run_dir)
        record = read_record(run_dir)
        if record is None:
            error = RunPaths(run_dir).error
            why = error.read_text().splitlines()[0] if error.exists() else "no reason recorded"
            raise IsoflopError(f"run {name} ended as {status}: {why}")
        return record

    def _text(self) -> SourceSpec:
        folder = self.out / "corpus"
        folder.mkdir(parents=True, exist_ok=True)
        for n in range(N_FILES):
            lines = [f"file {n} line {i}: {n * i % 97} and {i * i % 89}\n" for i in range(N_LINES)]
            (folder / f"{n:02d}.txt").write_text("".join(lines))
        return SourceSpec("text", options={"files": [f"{folder.resolve()}/*.txt"]})


def answer_of(child: "subprocess.Popen[str]", seconds: float, said: str = "") -> str:
    """The last line that a child prints before it ends, within so many seconds.

    Raises:  IsoflopError: it failed or took longer.
    """
    try:
        printed, errors = child.communicate(said, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        child.kill()
        child.communicate()
        raise IsoflopError(f"a process of this check took over {seconds:.0f} s") from error
    if child.returncode != 0:
        last = [line for line in errors.splitlines() if line.strip()][-8:]
        raise IsoflopError(f"exit status {child.returncode}: {' | '.join(last)}")
    return printed.splitlines()[-1]


def _sums() -> SourceSpec:
    return SourceSpec("arithmetic", options={"digits": 2, "n_items": 2000})
