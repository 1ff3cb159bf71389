"""An error of one rank ends all: otherwise they would wait for it in a collective for many minutes.

A lack of memory at the start is settled together (`shared_memory_error`). What befalls one rank
later is told through the store that the ranks met at, which each of them looks at now and then.
"""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.distributed.distributed_c10d import _get_default_store

from train.config.spec import IsoflopError
from train.ranks.shared_memory_error import SharedMemoryError

KEY = "isoflop/failure"
POLL_SECONDS = 2.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """What befell a rank, as a run's status and message."""

    rank: int
    status: str
    message: str

    def __str__(self) -> str:
        return f"rank {self.rank}: {self.message}"


class OtherRankError(IsoflopError):
    """Another rank failed, which is why this one's collective did."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.status = failure.status


@contextmanager
def shared_failures(
    status_of: Callable[[Exception], str], on_failure: Callable[[Failure], None]
) -> Iterator[None]:
    """In the block an error of this rank is told to the others, and one of theirs ends this rank.

    A rank that waits in a collective can't be interrupted: its process ends, with status 1, after
    `on_failure`, which runs in a thread and must be quick.

    Raises:  OtherRankError: in place of an error of this rank that followed from another's.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        yield
        return
    store: Any = _get_default_store()  # a C++ class whose methods its stub does not list
    rank = torch.distributed.get_rank()
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(store.clone(), over, on_failure), daemon=True)
    watch.start()
    try:
        yield
    except SharedMemoryError:
        raise
    except Exception as error:
        over.set()
        failure = Failure(rank, status_of(error), str(error).splitlines()[0] if str(error) else "")
        told = _told_first(store, failure)
        if told is not None and told.rank != rank:
            raise OtherRankError(told) from error
        raise
    finally:
        over.set()
        watch.join()


def _told_first(store: Any, failure: Failure) -> Failure | None:
    """Tell a failure unless another rank was first; returns what is told, None without a store."""
    try:
        told = store.compare_set(KEY, "", json.dumps(asdict(failure)))
        return Failure(**json.loads(told))
    except (RuntimeError, ValueError, TypeError):
        return None  # the rank that keeps the store is gone


def _watch(store: Any, over: threading.Event, on_failure: Callable[[Failure], None]) -> None:
    gone = 0
    while not over.wait(POLL_SECONDS):
        try:
            failure = Failure(**json.loads(store.get(KEY))) if store.check([KEY]) else None
        except RuntimeError as error:
            # At a run's end the first rank may be gone a moment before this one has left the block.
            gone += 1
            failure = Failure(0, "failed", f"its process is gone ({error})") if gone > 2 else None
        if failure is not None and not over.wait(POLL_SECONDS):
            log.error("ended, since it would wait for %s", failure)
            on_failure(failure)
            logging.shutdown()
            os._exit(1)
