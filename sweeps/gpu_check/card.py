"""The device that is checked, and the small runs that are trained on it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

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
        """A run of a 64-wide model on generated text or masked sums.

        Args:    changes: of the model (family, ...) and `precision`.
        """
        precision = changes.pop("precision", "fp32")
        seq_len, rows = (64, 8) if data == "text" else (20, 32)
        source = self._text() if data == "text" else _sums()
        n_val = 2048 if data == "text" else 640
        spec_data = DataSpec(parts={data: source}, val_tokens=n_val)
        requested = RunSpec(
            data=spec_data,
            horizon=HorizonSpec(n_tokens=float(n_steps * rows * seq_len)),
            model=ModelSpec(d_model=64, seq_len=seq_len, n_layers=2, **changes),
            optim=OptimSpec(batch_tokens=rows * seq_len),
            precision=precision,
        )
        spec = resolve(requested, describe(spec_data, seq_len))
        return RunConfig(spec=spec, runtime=RuntimeSpec(n_evals=2), name=data)

    def trained(self, name: str, job: RunConfig, **runtime: Any) -> RunRecord:
        """The record of a run that was trained in this process.

        Raises:  IsoflopError: it did not end well.
        """
        from train.run import train_run

        run_dir = self.out / "runs" / name
        write_job(run_dir, replace(job, runtime=replace(job.runtime, **runtime)))
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


def _sums() -> SourceSpec:
    return SourceSpec("arithmetic", options={"digits": 2, "n_items": 2000})
