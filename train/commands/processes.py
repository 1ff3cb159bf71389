"""How a process of ours is started: never from what happens to lie in the working directory.

`python -m` puts the working directory ahead of everything else, so that a user's own train.py or
eval/ would be imported instead of ours. `python -P` does not; but then a checkout that was never
installed is no longer found either, and has to be named in PYTHONPATH.
"""

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages: a checkout, or site-packages."""


def python_command(module: str, *arguments: str, unbuffered: bool = False) -> list[str]:
    """The command that runs a module by this interpreter, without the working directory in its
    path; run it with `python_environment`.
    """
    flags = ["-P", "-u"] if unbuffered else ["-P"]
    return [sys.executable, *flags, "-m", module, *arguments]


def python_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which `python_command` finds the packages that are running now.

    It names no W&B service of this process: a run that is killed stays open in a service which
    outlives it, and the process that goes on with the run would be refused as a second one.

    site-packages is left out: in PYTHONPATH it would come before the standard library, whose
    modules old back-ports there may shadow.
    """
    environment = {k: v for k, v in environment.items() if k != "WANDB_SERVICE"}
    given = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if _in_site_packages() or any(Path(entry).resolve() == ROOT for entry in given):
        return environment
    return {**environment, "PYTHONPATH": os.pathsep.join([str(ROOT), *given])}


def _in_site_packages() -> bool:
    places = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    return ROOT in places or ROOT.name in ("site-packages", "dist-packages")
