"""The tests' stand-in for a GPU, registered in this process and in those that it starts."""

import importlib
import os
import sys
from typing import Any

from train.commands.processes import ROOT
from train.config.spec import IsoflopError

INHERITED = "ISOFLOP_GPU_CHECK_STANDIN"
"""Set in the environment of every process that is to load it too."""


class NoStandinError(IsoflopError):
    """The stand-in can't be loaded here; the message says why."""


def load() -> None:
    """Register it, for this process's children too.

    Raises:  NoStandinError: an installation without the tests, or no C++ compiler.
    """
    os.environ[INHERITED] = "1"
    try:
        module().load()
    except ImportError as error:
        raise NoStandinError(
            f"device=standin needs tests/standin ({error}); run it from the repository"
        ) from error
    except Exception as error:  # its own class for a missing compiler can't be imported here
        raise NoStandinError(str(error)) from error


def load_where_inherited() -> bool:
    """Register it in a child process of one that has; whether it was."""
    if INHERITED not in os.environ:
        return False
    load()
    return True


def module() -> Any:
    """`tests.standin.device`, which no installed package holds."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return importlib.import_module("tests.standin.device")
