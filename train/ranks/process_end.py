"""How a process that trained ends: of several ranks each with its own status, none by an abort."""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import torch


def leave_after(call: Callable[[], int]) -> NoReturn:
    """End this process with the exit status that `call` returns; an error is printed and is 1."""
    try:
        status = call()
    except Exception:
        traceback.print_exc()
        status = 1
    leave(status)


def leave(status: int) -> NoReturn:
    """End this process with an exit status; a rank of several skips the interpreter's own end.

    Gloo's threads outlive the group while a mesh of shards holds it. One that lets go of its last
    tensor while the interpreter is torn down aborts the process, though all it did is on disk. So
    does one that still waits for a rank that is gone, which is why a group that failed is not
    taken down in order either.
    """
    if not torch.distributed.is_initialized():
        sys.exit(status)
    if status == 0:
        torch.distributed.destroy_process_group()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
