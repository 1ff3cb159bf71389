"""This machine's `SpeedTable`, measured once and kept in the user's cache.

Its file is named by all that the times depend on: processor, torch, threads. A process that finds
none measures it in a child; one that can't (no torch, a read-only cache, a failed child) goes on
with PyTorch's own calls, which need no measurement.
"""

import hashlib
import json
import logging
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from train.commands.processes import python_command, python_environment
from train.config.decode import decode_stored
from train.config.spec import IsoflopError
from train.data.file_io import cache_dir
from train.rundir.atomic import RecordError, read_json, write_json
from train.rundir.mutex import exclusive
from train.speed.table import SpeedTable, nearest_compiled, nearest_step

CODE = 2
"""Raised when a change of ours makes the times mean something else: they are taken again."""

VARIABLE = "ISOFLOP_SPEED"
"""`library` in this environment variable: nothing is measured, every choice is the default."""

TIMEOUT_SECONDS = 600.0

COMMAND = tuple(python_command("train.speed.measure"))

log = logging.getLogger(__name__)


def is_pinned() -> bool:
    """Whether `ISOFLOP_SPEED=library` rules measurements out.

    Raises:  IsoflopError: another value than library or measured.
    """
    value = os.environ.get(VARIABLE, "measured")
    if value not in ("measured", "library"):
        raise IsoflopError(f"{VARIABLE}={value!r} is unknown; expected measured or library")
    return value == "library"


def known_table(threads: int) -> SpeedTable | None:
    """What was measured before; None where nothing was, or measurements are ruled out."""
    return None if is_pinned() else _read(table_path(threads))


def measured_table(threads: int, command: Sequence[str] = COMMAND) -> SpeedTable | None:
    """The machine's table, measured now (some seconds) where there is none; None if that fails."""
    if is_pinned():
        return None
    return known_table(threads) or _extended(threads, None, command)


def with_compiled(
    threads: int, d_model: int, precision: str, command: Sequence[str] = COMMAND
) -> SpeedTable | None:
    """The table with what compiling does near a width, tried now (up to a minute) if it was not."""
    table = measured_table(threads, command)
    if table is None or nearest_compiled(table, d_model, precision) is not None:
        return table
    return _extended(threads, (d_model, precision), command) or table


def table_path(threads: int) -> Path:
    """Where the table of this processor, torch and number of threads is kept."""
    model, details = processor()
    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        torch_version = "none"
    hashed = hashlib.sha256(details.encode()).hexdigest()[:8]
    text = f"{model}-{hashed}-torch{torch_version}-threads{threads}-code{CODE}.json"
    return cache_dir() / "speed" / "".join(c if c.isalnum() or c in ".-" else "_" for c in text)


@lru_cache(maxsize=1)
def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, str]:
    """The processor's name, and what else tells it from others of that name.

    A virtual machine may call several generations by one name.
    """
    try:
        first = cpuinfo.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine(), platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in first)}
    names = ("vendor_id", "cpu family", "model", "stepping", "cache size", "flags", "Features")
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, json.dumps([name, *(fields.get(n, "") for n in names)])


def _extended(
    threads: int, compiled: tuple[int, str] | None, command: Sequence[str]
) -> SpeedTable | None:
    """The table after one more measurement, unless another process made it meanwhile."""
    path = table_path(threads)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path.with_suffix(".lock")):
            present = _read(path)
            if _holds(present, compiled):
                return present
            made = _measure(threads, compiled, present, command)
            write_json(path, asdict(made))
            return made
    except (OSError, RecordError, IsoflopError) as error:
        log.info("no speeds are measured, PyTorch's own calls are taken: %s", error)
        return None


def _holds(table: SpeedTable | None, compiled: tuple[int, str] | None) -> bool:
    if table is None or compiled is None:
        return table is not None
    return nearest_compiled(table, *compiled) is not None


def _measure(
    threads: int,
    compiled: tuple[int, str] | None,
    present: SpeedTable | None,
    command: Sequence[str],
) -> SpeedTable:
    """A child's measurements.

    Raises:  IsoflopError: it failed, hung, or printed something else.
    """
    wanted = None
    if compiled is not None and present is not None:
        step = nearest_step(present, compiled[0])
        wanted = None if step is None else [step.d_model, compiled[1]]
    request = {"compiled": wanted, "table": None if present is None else asdict(present)}
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads)), "CUDA_VISIBLE_DEVICES": ""}
    try:
        ended = subprocess.run(
            [*command, str(threads)],
            input=json.dumps(request),
            env=python_environment(environment),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise IsoflopError(f"measuring this machine failed: {error}") from error
    if ended.returncode != 0:
        lines = ended.stderr.strip().splitlines() or ["no output"]
        raise IsoflopError(f"measuring this machine failed: {lines[-1]}")
    try:
        content = json.loads(ended.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise IsoflopError(f"measuring this machine gave no table: {error}") from error
    return decode_stored(SpeedTable, content, "speeds")


def _read(path: Path) -> SpeedTable | None:
    """A table that was kept; a missing or damaged file counts as none."""
    try:
        return decode_stored(SpeedTable, read_json(path), path.name)
    except IsoflopError:
        return None
