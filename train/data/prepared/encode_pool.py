"""Pieces of text to ids on all cores, in order: a process a core, since threads share one lock."""

import json
import os
import queue
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from train.commands.processes import python_command, python_environment
from train.data.prepared.encode_worker import Encoded, Encoding, encode_pieces
from train.data.token_shards import ShardError
from train.data.tokenizer import TextCodec

U = TypeVar("U")

Pieces = list[tuple[str, bool]]

SMALL_BYTES = 8 << 20
"""Text on disk that is tokenised sooner than processes start."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def n_workers(codec: TextCodec, n_bytes: int) -> int:
    """Processes that tokenise so much text; 0: this one does. A table is as quick as the disk."""
    return 0 if codec.table is not None or n_bytes < SMALL_BYTES else usable_cores()


def encoded(
    units: Iterable[tuple[U, Pieces]], codec: TextCodec, dtype: str, workers: int
) -> Iterator[tuple[U, Encoded]]:
    """Each unit with its pieces encoded, in the order given; two units a worker are under way.

    Raises:  ShardError: a worker ended, or could not encode a piece.
    """
    if not workers:
        for unit, pieces in units:
            yield unit, encode_pieces(codec, pieces, dtype)
        return
    encoding = Encoding(codec.tokenizer.to_str(), codec.end_id, dtype)
    started: list[subprocess.Popen[bytes]] = []
    idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
    pending: deque[tuple[U, Future[Encoded]]] = deque()

    def ask(pieces: Pieces) -> Encoded:
        worker = idle.get()
        try:
            return _ask(worker, pieces)
        finally:
            idle.put(worker)  # one that is gone too: whoever asks it next must not wait for ever

    with ThreadPoolExecutor(workers, thread_name_prefix="encode") as threads:
        try:
            for _ in range(workers):
                started.append(_start(encoding))
                idle.put(started[-1])
            for unit, pieces in units:
                pending.append((unit, threads.submit(ask, pieces)))
                if len(pending) >= 2 * workers:
                    done, answer = pending.popleft()
                    yield done, answer.result()
            while pending:
                done, answer = pending.popleft()
                yield done, answer.result()
        finally:
            for _, future in pending:
                future.cancel()
            for worker in started:
                worker.kill()
                worker.wait()
            # Threads that wait for a worker that is gone see its closed pipe, and end.
            threads.shutdown(wait=True, cancel_futures=True)
            for worker in started:
                _close(worker)


def _start(encoding: Encoding) -> "subprocess.Popen[bytes]":
    worker = subprocess.Popen(
        python_command("train.data.prepared.encode_worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=python_environment(os.environ)
        | {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C is this process's business
    )
    try:
        _send(worker, vars(encoding))
    except OSError as error:
        worker.kill()
        worker.wait()
        _close(worker)
        raise ShardError(f"a process that tokenises did not start: {error}") from error
    return worker


def _ask(worker: "subprocess.Popen[bytes]", pieces: Pieces) -> Encoded:
    assert worker.stdout is not None  # opened with a pipe
    try:
        _send(worker, pieces)
        answer = Encoded.read(worker.stdout)
    except (OSError, EOFError, ValueError) as error:
        raise ShardError(
            "a process that tokenises ended before its answer (killed, or out of memory); "
            "run again to go on where it stopped"
        ) from error
    if answer.error:
        raise ShardError(f"text can't be tokenised: {answer.error}")
    return answer


def _send(worker: "subprocess.Popen[bytes]", content: object) -> None:
    assert worker.stdin is not None  # opened with a pipe
    worker.stdin.write(json.dumps(content).encode() + b"\n")
    worker.stdin.flush()


def _close(worker: "subprocess.Popen[bytes]") -> None:
    for pipe in (worker.stdin, worker.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:
            pass  # a last flush into a pipe that nobody reads
