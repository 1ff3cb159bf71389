"""How fast this machine trains a sweep's models: real steps, timed once and kept in a cache.

The steps run in a child process on one chosen device. An error there costs a prediction
and nothing else, and its memory on the device is free again when it ends.
"""

import hashlib
import json
import logging
import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from sweeps.plan.cost_model import Speed
from sweeps.plan.machine import Slot, environment, gpu_names
from train.commands.processes import python_command
from train.config.flops import flops_per_token
from train.config.run_config import RunConfig, job_to_json
from train.config.spec import IsoflopError, known
from train.data.file_io import cache_dir
from train.rundir.atomic import RecordError, write_json
from train.speed.choice import best_choice
from train.speed.machine import processor

COMMAND = tuple(python_command("sweeps.plan.time_steps"))

TIMEOUT_SECONDS = 600.0
"""Compiling three sizes takes a minute or two; a child that takes longer hangs."""

CODE = 4
"""Raised when a change of ours makes steps much faster or slower, so that they are timed again."""

log = logging.getLogger(__name__)


class CalibrationError(IsoflopError):
    """No step could be timed; the message is one line."""


def speeds(
    jobs: Sequence[RunConfig], device: str | None, command: Sequence[str] = COMMAND
) -> list[Speed]:
    """Measured speeds of three of a sweep's sizes, from the cache or by timing steps now.

    The cache is keyed by all that the numbers depend on: processor or GPU, threads, what is
    trained, torch's version and `CODE`.

    Args:    device: an id as CUDA_VISIBLE_DEVICES takes it; None for the processor.
    Raises:  CalibrationError: the child failed, or torch can't use the device.
    """
    chosen = timed_sizes(jobs)
    path = cache_dir() / "calibration" / f"{_key(chosen, device)}.json"
    cached = _read(path)
    if cached:
        return cached
    measured = measure(chosen, device, command)
    try:
        write_json(path, [asdict(speed) for speed in measured])
    except RecordError as error:
        log.warning("calibration is not kept: %s", error)
    return measured


def cached_speeds(jobs: Sequence[RunConfig], device: str | None) -> list[Speed]:
    """What `speeds` has measured before; none where it never did, and nothing is started."""
    return _read(cache_dir() / "calibration" / f"{_key(timed_sizes(jobs), device)}.json")


def timed_sizes(jobs: Sequence[RunConfig]) -> list[RunConfig]:
    """The jobs of the smallest, the middle and the largest model, by FLOPs per token."""
    by_size = {flops_per_token(job.spec.model): job for job in jobs}
    sizes = sorted(by_size)
    picked = {sizes[0], sizes[len(sizes) // 2], sizes[-1]} if sizes else set()
    return [by_size[size] for size in sorted(picked)]


def measure(jobs: Sequence[RunConfig], device: str | None, command: Sequence[str]) -> list[Speed]:
    """Tokens per second of training steps of each job, timed by a child process.

    Raises:  CalibrationError: it failed, hung, or timed nothing.
    """
    if not jobs:
        raise CalibrationError("there is no run to time")
    slot = Slot(0, device, (), jobs[0].runtime.threads)
    try:
        ended = subprocess.run(
            list(command),
            input=json.dumps([job_to_json(job) for job in jobs]),
            env=environment(slot, dict(os.environ)),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CalibrationError(f"timing steps took over {TIMEOUT_SECONDS:.0f} s") from error
    except OSError as error:
        raise CalibrationError(f"no process could be started to time steps: {error}") from error
    if ended.returncode != 0:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        last = lines[-1] if lines else "no output"
        raise CalibrationError(f"timing steps failed (exit status {ended.returncode}): {last}")
    try:
        return [Speed(**row) for row in json.loads(ended.stdout.splitlines()[-1])]
    except (ValueError, TypeError, IndexError) as error:
        raise CalibrationError(f"timing steps gave no result: {error}") from error


def _key(jobs: Sequence[RunConfig], device: str | None) -> str:
    """Name of the cache's file: the machine for people, the rest as a hash."""
    kind = "cpu" if device is None else "cuda"
    trained = [
        {
            "model": asdict(job.spec.model),
            "batch_tokens": known(job.spec.optim.batch_tokens, "optim.batch_tokens"),
            "precision": job.spec.precision,
            "threads": job.runtime.threads,
            "micro_batch": job.runtime.micro_batch,
            "compile": job.runtime.compile,
            "computed_by": best_choice(job, kind, measure=False).label,
        }
        for job in jobs
    ]
    hashed = hashlib.sha256(json.dumps(trained, sort_keys=True).encode()).hexdigest()[:12]
    machine = processor()[0] if device is None else gpu_names([device]).get(device, device)
    text = f"{machine}-{hashed}-torch{version('torch')}-code{CODE}"
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in text)


def _read(path: Path) -> list[Speed]:
    """Cached speeds; a missing or damaged file counts as none."""
    try:
        return [Speed(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []
