"""NVIDIA's Multi-Process Service: kernels of several processes run on one card at the same time.

Without it a card takes turns between processes, and tiny models, which fill a small part of a card,
gain nothing from being several. It is started for one launch, in directories of its own, and ended
with it; a service that runs already is left to whoever started it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from train.config.spec import IsoflopError

CONTROL = "nvidia-cuda-mps-control"
SECONDS = 30.0


class NoMpsError(IsoflopError):
    """The service can't be started here; the message says why."""


@contextmanager
def mps(directory: Path) -> Iterator[dict[str, str]]:
    """The service for the block; yields what the environment of its processes needs.

    Args:    directory: for its pipes and logs. A socket's path has 107 characters at most, so the
             pipes go to a short place where this one is long.
    Raises:  NoMpsError: no such program, or it does not start.
    """
    if shutil.which(CONTROL) is None:
        raise NoMpsError(f"{CONTROL} is not installed; MPS is not used")
    if "CUDA_MPS_PIPE_DIRECTORY" in os.environ:
        yield {}  # somebody's own service
        return
    directory.mkdir(parents=True, exist_ok=True)
    pipes = directory / "pipe"
    if len(str(pipes.resolve())) > 80:
        pipes = Path(f"/tmp/isoflop-mps-{os.getpid()}")
    pipes.mkdir(parents=True, exist_ok=True)
    environment = {
        "CUDA_MPS_PIPE_DIRECTORY": str(pipes.resolve()),
        "CUDA_MPS_LOG_DIRECTORY": str(directory.resolve()),
    }
    _control(["-d"], environment)
    try:
        yield environment
    finally:
        try:
            _control([], environment, said="quit\n")
        finally:
            shutil.rmtree(pipes, ignore_errors=True)


def _control(arguments: list[str], environment: dict[str, str], said: str = "") -> None:
    """One call of the control program.

    Raises:  NoMpsError: it failed, with its own words, or does not answer.
    """
    try:
        ended = subprocess.run(
            [CONTROL, *arguments],
            input=said,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoMpsError(f"{CONTROL} does not work: {error}") from error
    if ended.returncode != 0:
        words = (ended.stderr or ended.stdout).strip().splitlines()
        raise NoMpsError(f"{CONTROL} failed: {words[-1] if words else ended.returncode}")
