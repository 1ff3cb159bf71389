"""What a process of `eval.side_by_side` does: it evaluates one checkpoint after another."""

import os
import signal
from multiprocessing import parent_process
from threading import Thread

from eval.answered import Sets, answered
from eval.config import EvalConfig
from eval.evaluate import CheckpointRef
from train.config.spec import IsoflopError


def begin(threads: int) -> None:
    """Once a process: its threads, its end with the first one, a terminal that they share."""
    import torch

    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's business
    os.dup2(2, 1)  # what libraries print is no result
    torch.set_num_threads(threads)


def answer(config: EvalConfig, target: CheckpointRef, sets: Sets) -> str:
    """Why a checkpoint could not be evaluated; empty where it was."""
    try:
        answered(target, sets, config.settings, config.device, config.overwrite, lambda n: None)
    except IsoflopError as error:
        return str(error)
    return ""


def _end_with_parent() -> None:
    """A process that was killed ends no others: they would wait for its requests for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
