"""Checkpoints of a sweep evaluated side by side on a processor, a process a core.

One thread is enough for a small model, so that the other cores would look on.
"""

import os
import pickle
import queue
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from eval.answered import Sets, n_items
from eval.config import EvalConfig
from eval.evaluate import Advance, CheckpointRef
from eval.tasks.eval_set import EvalSet
from eval.tasks.generated import TaskError
from eval.worker import send
from train.commands.processes import python_command, python_environment
from train.data.prepared.encode_pool import usable_cores

Planned = Sequence[tuple[CheckpointRef, Sets]]
Worker = subprocess.Popen[bytes]

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
    started: list[Worker] = []
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()

    def ask(target: CheckpointRef, sets: Sets) -> str:
        worker = idle.get()
        try:
            return _ask(worker, (config, target, sets))
        finally:
            idle.put(worker)  # one that is gone too: whoever asks it next must not wait for ever

    # Those with most to do first, so that none is left alone at the end.
    order = sorted(planned, key=lambda one: (-n_items(one[1]), -_weights_bytes(one[0])))
    with ThreadPoolExecutor(workers, thread_name_prefix="eval") as threads:
        try:
            for _ in range(workers):
                started.append(_start())
                idle.put(started[-1])
            waiting = {threads.submit(ask, *one): one for one in order}
            for ended in as_completed(waiting):
                target, sets = waiting[ended]
                reason = ended.result()
                if reason:
                    yield target.checkpoint, reason
                else:
                    advance(n_items(sets))
        finally:
            for worker in started:
                worker.kill()
                worker.wait()
            # Threads that wait for a worker that is gone see its closed pipe, and end.
            threads.shutdown(wait=True, cancel_futures=True)
            for pipe in (pipe for w in started for pipe in (w.stdin, w.stdout) if pipe):
                with suppress(OSError):  # a last flush into a pipe that nobody reads
                    pipe.close()


def _start() -> Worker:
    return subprocess.Popen(
        python_command("eval.worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=python_environment(os.environ),
        start_new_session=True,  # Ctrl-C is this process's business
    )


def _ask(worker: Worker, request: object) -> str:
    assert worker.stdin is not None and worker.stdout is not None  # opened with pipes
    try:
        send(worker.stdin, request)
        return pickle.load(worker.stdout)
    except (OSError, EOFError) as error:
        raise TaskError(
            "a process that evaluates ended before its answer (killed, or out of memory); run "
            "again to go on where it stopped, with workers=1 for one at a time"
        ) from error


def _weights_bytes(target: CheckpointRef) -> int:
    return sum(path.stat().st_size for path in Path(target.checkpoint).glob("*.safetensors"))
