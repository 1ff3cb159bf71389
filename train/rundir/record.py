"""The files of a run directory: their paths, its job, the final record and the status trail.

Nothing here opens a model or a tracker; whoever reads results needs this module and JSON alone.
"""

import dataclasses
import json
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train.config.decode import decode_stored
from train.config.run_config import RunConfig, job_from_json, job_to_json
from train.config.spec import SpecError
from train.rundir.atomic import (
    BAD_JSON,
    RecordError,
    append_jsonl,
    read_json,
    write_atomic,
    write_json,
)

STATUSES = (
    "planned",
    "running",
    "finished",
    "diverged",
    "stopped",
    "oom",
    "timeout",
    "preempted",
    "failed",
)
DONE = ("finished", "diverged", "stopped")
"""Statuses that end a run for good: they stand in record.json, and nothing trains the run again.
`stopped` is a run that its sweep ended early, since all alternatives do better."""


class Below:
    """A path below the directory of a dataclass of paths, as a read-only attribute."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, paths: Any, cls: type) -> Path:
        return paths.directory / self.name


@dataclass(frozen=True)
class RunPaths:
    """Where everything of one run lies."""

    directory: Path

    spec = Below("spec.json")
    overrides = Below("overrides.txt")
    env = Below("env.json")
    choice = Below("choice.json")
    lock = Below("lock")
    metrics = Below("metrics.jsonl")
    status = Below("status.jsonl")
    log = Below("train.log")
    error = Below("error.txt")
    checkpoint = Below("checkpoint")
    averaged = Below("checkpoints/ema")
    early_stop = Below("early_stop.json")
    """Present where the run's sweep decided that it need not go on, and why."""
    state = Below("state")
    evals = Below("evals")
    record = Below("record.json")

    def mirror(self, kind: str) -> Path:
        """What is known of the run's copy in a tracker, such as wandb.json."""
        return self.directory / f"{kind}.json"

    def checkpoint_at(self, step: int) -> Path:
        return self.directory / "checkpoints" / f"step-{step}"


@dataclass(frozen=True)
class RunRecord:
    """One finished (or diverged) run: a row of runs.parquet. Losses are nats per token.

    `flops` is what training took under the design's count, a branch's trunk included; `flops_spent`
    leaves out the steps up to `branched_from`, which another run of the same `trunk_id` had
    trained. `wall_seconds` and speeds are of what was spent, by all `n_devices` together, without
    the `compile_seconds` that passed before the first step of each of the run's lives; `mfu` is
    the share of the sum of their peaks. Versions are None where nothing of the kind was used.
    `simulated` says what the losses were drawn from where nothing was trained, and is empty for a
    trained run. `horizon_tokens` is the length that the decay was planned for where that was not
    the run's own. `kernels` says what of `train.speed` computed the run and `loss_spikes` how many
    steps' losses stood out (`train.engine.step_log`), empty and None in older records.
    """

    run_id: str
    name: str
    sweep: str
    grid: str
    status: str
    data: str
    data_fingerprint: str
    seed: int
    family: str
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    vocab_size: int
    seq_len: int
    n_params: int
    n_params_total: int
    n_params_non_embedding: int
    n_tokens: int
    tokens_per_param: float
    n_steps: int
    batch_tokens: int
    lr_peak: float
    flops: float
    flops_6nd: float
    flops_chinchilla: float
    flops_budget: float | None
    flops_spent: float
    loss: float | None
    bits_per_byte: float | None
    train_loss: float | None
    entropy: float | None = None
    losses: dict[str, float] = field(default_factory=dict)
    epochs: dict[str, float] = field(default_factory=dict)
    recipe: str = "default"
    schedule: str = "cosine"
    warmup_tokens: float | None = None
    horizon_tokens: float | None = None
    precision: str = "fp32"
    device: str = "cpu"
    n_devices: int = 1
    cuda_version: str | None = None
    cudnn_version: str | None = None
    nccl_version: str | None = None
    driver_version: str | None = None
    wall_seconds: float = 0.0
    compile_seconds: float = 0.0
    tokens_per_second: float = 0.0
    flops_per_second: float = 0.0
    mfu: float | None = None
    peak_memory_bytes: int | None = None
    checkpoint: str = "checkpoint"
    message: str = ""
    simulated: str = ""
    trunk_id: str | None = None
    branched_from: int | None = None
    n_kv_heads: int | None = None
    weight_decay: float | None = None
    optimizer: str = "adamw"
    n_params_active: int | None = None
    loss_ema: float | None = None
    loss_spikes: int | None = None
    init_from: str | None = None
    init_sha256: str | None = None
    init_n_params: int | None = None
    init_n_tokens: float | None = None
    kernels: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise RecordError(f"status={self.status!r} is unknown; expected one of {STATUSES}")


def write_job(run_dir: Path, job: RunConfig, overrides: list[str] | None = None) -> None:
    """Create a run directory and its spec.json, or check that it already holds this very run.

    Raises:  RecordError: the path is a file, or holds another spec.
    """
    paths = RunPaths(run_dir)
    if run_dir.exists() and not run_dir.is_dir():
        raise RecordError(f"{run_dir} is a file; expected a directory: choose another out=DIR")
    if paths.spec.exists():
        present = read_job(run_dir)
        if present.run_id != job.run_id:
            raise RecordError(
                f"{run_dir} holds run {present.run_id} and this spec is run {job.run_id}; "
                f"choose another out=DIR, or restore the settings to continue it"
            )
        if present == job:
            return
    elif run_dir.exists() and any(run_dir.iterdir()):
        raise RecordError(f"{run_dir} is not empty and has no spec.json; choose another out=DIR")
    write_json(paths.spec, job_to_json(job))
    if overrides is not None:
        write_atomic(paths.overrides, "\n".join(overrides) + "\n")


def read_job(run_dir: Path) -> RunConfig:
    """The run that a directory holds.

    Raises:  RecordError: no readable spec.json, or one that was edited by hand.
    """
    path = RunPaths(run_dir).spec
    content = read_json(path)
    try:
        return job_from_json(content)
    except SpecError as error:
        raise RecordError(f"{path}: {error}") from error


def write_record(run_dir: Path, record: RunRecord) -> None:
    """Mark a run as done: record.json is the last file that a run writes."""
    write_json(RunPaths(run_dir).record, dataclasses.asdict(record))


def read_record(run_dir: Path) -> RunRecord | None:
    """The record of a run, or None while it has none.

    Raises:  RecordError: a record.json that is truncated, garbage or has a field of another type.
    """
    path = RunPaths(run_dir).record
    if not path.exists():
        return None
    try:
        return decode_stored(RunRecord, read_json(path), "")
    except SpecError as error:
        raise RecordError(f"{path} is not a run record ({error}); delete it to redo it") from error


def early_stop_reason(run_dir: Path) -> str:
    """Why a run's sweep decided that it need not go on; empty where it did not."""
    path = RunPaths(run_dir).early_stop
    if not path.exists():
        return ""
    try:
        return str(read_json(path)["reason"])
    except (RecordError, KeyError, TypeError):
        return ""


def append_status(run_dir: Path, status: str, **details: Any) -> None:
    """Add a line to status.jsonl: the status, the time, who says so, and any details."""
    if status not in STATUSES:
        raise RecordError(f"status={status!r} is unknown; expected one of {STATUSES}")
    row = {"status": status, "time": time.time(), "host": socket.gethostname(), "pid": os.getpid()}
    append_jsonl(RunPaths(run_dir).status, {**row, **details})


def last_status(run_dir: Path) -> dict[str, Any] | None:
    """The newest line of status.jsonl, or None where there is none; reads the file's end alone."""
    path = RunPaths(run_dir).status
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16384))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except BAD_JSON:
            continue
        if isinstance(row, dict) and row.get("status") in STATUSES:
            return row
    return None
