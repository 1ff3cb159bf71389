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
    cached = cached_speeds(jobs, device)
    if cached:
        return cached
    measured = measure(chosen, device, command)
    keep(measured, jobs, device)
    return measured


def cached_speeds(jobs: Sequence[RunConfig], device: str | None, how: str = "") -> list[Speed]:
    """What was measured before; none where nothing was, and nothing is started.

    Args:    how: the way in which several trained at once; empty for one alone.
    """
    return _read(_path(jobs, device, how))


def keep(
    measured: Sequence[Speed], jobs: Sequence[RunConfig], device: str | None, how: str = ""
) -> None:
    """Put what was measured into the cache; that it can't be written is logged."""
    try:
        write_json(_path(jobs, device, how), [asdict(speed) for speed in measured])
    except RecordError as error:
        log.warning("calibration is not kept: %s", error)


def _path(jobs: Sequence[RunConfig], device: str | None, how: str) -> Path:
    return cache_dir() / "calibration" / f"{_key(timed_sizes(jobs), device, how)}.json"


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
            input=as_line(jobs),
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
    return answer(ended.returncode, ended.stdout, ended.stderr)


def as_line(jobs: Sequence[RunConfig]) -> str:
    """What a child reads first."""
    return json.dumps([job_to_json(job) for job in jobs]) + "\n"


def answer(status: int, printed: str, errors: str) -> list[Speed]:
    """The speeds that a child printed last.

    Raises:  CalibrationError: it failed; the message has the last line of its errors.
    """
    if status != 0:
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        last = lines[-1] if lines else "no output"
        raise CalibrationError(f"timing steps failed (exit status {status}): {last}")
    try:
        return [Speed(**row) for row in json.loads(printed.splitlines()[-1])]
    except (ValueError, TypeError, IndexError) as error:
        raise CalibrationError(f"timing steps gave no result: {error}") from error


def _key(jobs: Sequence[RunConfig], device: str | None, how: str) -> str:
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
    text = f"{machine}-{hashed}-torch{version('torch')}-code{CODE}{how}"
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in text)


def _read(path: Path) -> list[Speed]:
    """Cached speeds; a missing or damaged file counts as none."""
    try:
        return [Speed(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []
