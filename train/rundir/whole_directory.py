"""Directories that appear by rename, whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path


def write_directory(directory: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a hidden sibling, flush it to disk, and swap it into place.

    Raises:  OSError, and what `fill` raises: what was there before stays.
    """
    aside = directory.with_name(f".{directory.name}.{uuid.uuid4().hex[:8]}")
    try:
        aside.mkdir(parents=True)
        fill(aside)
        # safetensors creates files that only their owner can read, under any umask.
        mode = aside.stat().st_mode & 0o666
        for path in aside.iterdir():
            path.chmod(mode)
            _fsync(path)
        _fsync(aside)
        if directory.exists():
            replaced = directory.with_name(f".{directory.name}.replaced-{uuid.uuid4().hex[:8]}")
            os.rename(directory, replaced)
            os.rename(aside, directory)
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            os.rename(aside, directory)
        _fsync(directory.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sweep_leftovers(run_dir: Path) -> None:
    """Remove half-written directories that a killed process left behind."""
    for parent in (run_dir, run_dir / "state", run_dir / "checkpoints"):
        for path in parent.glob(".*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
