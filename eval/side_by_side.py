"""Checkpoints of a sweep evaluated side by side on a processor, a process a core.

One thread is enough for a small model, so that the other cores would look on.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from pathlib import Path

from eval import worker
from eval.answered import Sets, n_items
from eval.config import EvalConfig
from eval.evaluate import Advance, CheckpointRef
from eval.tasks.eval_set import EvalSet
from eval.tasks.generated import TaskError
from train.data.prepared.encode_pool import usable_cores

Planned = Sequence[tuple[CheckpointRef, Sets]]

SMALL_BYTES = 64 << 20
"""Checkpoints up to this size share a machine without being asked to: larger ones use its cores by
their threads, and several of them may be more than memory holds."""

FEW_ITEMS = 20_000
"""Items of all checkpoints that are answered sooner than processes start."""


def n_workers(config: EvalConfig, planned: Planned, has_gpu: bool) -> int:
    """Processes at once: what was asked for, else one per core where that is safe; 1: this one.

    Benchmarks by name are asked one checkpoint after another: the harness keeps their data.
    """
    own = all(isinstance(one, EvalSet) for _, sets in planned for one in sets)
    if not own or has_gpu or len(planned) < 2:
        return 1
    if config.workers is not None:
        return min(config.workers, len(planned))
    few = sum(n_items(sets) for _, sets in planned) <= FEW_ITEMS
    if few or max(_weights_bytes(target) for target, _ in planned) > SMALL_BYTES:
        return 1
    return min(max(1, usable_cores() // config.threads), len(planned))


def evaluated(
    config: EvalConfig, planned: Planned, workers: int, advance: Advance
) -> Iterator[tuple[str, str]]:
    """Evaluate everything; the checkpoints that failed, each with its reason, as they end.

    Raises:
        TaskError: A process was killed.
    """
    # Those with most to do first, so that none is left alone at the end.
    order = sorted(planned, key=lambda one: (-n_items(one[1]), -_weights_bytes(one[0])))
    others = set(active_children())
    # Spawned: a forked copy of a process whose libraries have threads may wait for ever.
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=worker.begin, initargs=(config.threads,)
    )
    try:
        waiting = {pool.submit(worker.answer, config, *one): one for one in order}
        for ended in as_completed(waiting):
            target, sets = waiting[ended]
            if reason := ended.result():
                yield target.checkpoint, reason
            else:
                advance(n_items(sets))
    except BrokenProcessPool as error:
        raise TaskError(
            "a process that evaluates ended before its answer (killed, or out of memory); run "
            "again to go on where it stopped, with workers=1 for one at a time"
        ) from error
    finally:
        for process in set(active_children()) - others:
            process.kill()
        pool.shutdown(cancel_futures=True)


def _weights_bytes(target: CheckpointRef) -> int:
    return sum(path.stat().st_size for path in Path(target.checkpoint).glob("*.safetensors"))
