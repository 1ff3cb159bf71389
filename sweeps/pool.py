"""A fixed set of warm worker processes, each pinned to its threads, cores and device.

One thread a worker hands it runs, longest first; a worker that dies takes only its own run with it
and is replaced. Stopping once lets every worker save its run; stopping twice kills them.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sweeps.admission import Admission, Task
from sweeps.slots import Slot, environment
from sweeps.state import last_line, silence
from train.record import DONE, IsoflopError, append_status, read_record

WORKER = [sys.executable, "-m", "sweeps.worker"]
START_SECONDS = 300.0
"""A worker that has not finished its imports by then is broken."""

Report = Callable[[Task, str, str], None]
"""Told (task, status, message) when a run starts ("running") and when it ends."""

log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """A worker process and the run it has in hand."""

    process: subprocess.Popen[str]
    log: Path
    task: Task | None = None
    since: float = 0.0
    hung: bool = False


class Pool:
    """Runs tasks on slots; `run` blocks until all are done or the pool was stopped."""

    def __init__(
        self,
        slots: list[Slot],
        log_dir: Path,
        report: Report,
        hang_seconds: float = 1800.0,
        limits: dict[str | None, float] | None = None,
        command: list[str] | None = None,
    ) -> None:
        self._slots = slots
        self._log_dir = log_dir
        self._report = report
        self._hang_seconds = hang_seconds
        self._limits = limits or {}
        self._command = command or WORKER
        self._workers: dict[int, _Worker] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._queue = Admission([], {})
        self._broken: list[str] = []

    def run(self, tasks: list[Task]) -> None:
        """Train every task's run directory.

        Raises:  IsoflopError: a worker can't even start.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._queue = Admission([] if self._stopping.is_set() else tasks, self._limits)
        used = self._slots[: max(1, min(len(self._slots), len(tasks)))]
        threads = [threading.Thread(target=self._serve, args=(slot,)) for slot in used]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(timeout=0.5 / len(threads))
            self._kill_hung()
        if self._broken:
            raise IsoflopError(self._broken[0])

    def stop(self) -> None:
        """Start nothing more and let every worker save its run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End every worker at once; their runs continue from the last saved state another time."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        self._stopping.set()
        self._queue.close()
        for worker in list(self._workers.values()):
            if worker.process.poll() is None:
                worker.process.send_signal(number)

    def _serve(self, slot: Slot) -> None:
        worker, queue = None, self._queue
        while (task := queue.take(slot.device)) is not None:
            try:
                if worker is None or worker.process.poll() is not None:
                    worker = self._start(slot)
                if worker is None:
                    queue.close()
                    break
                self._train(worker, task)
            finally:
                queue.release(task, slot.device)
        if worker is not None:
            _retire(worker)

    def _start(self, slot: Slot) -> _Worker | None:
        """A worker that has said it is ready; None where it can't start, with the reason kept."""
        path = self._log_dir / f"worker-{slot.index}.log"
        with path.open("ab") as stream:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment(slot, dict(os.environ)),
                text=True,
                start_new_session=True,
            )
        if slot.cores:
            _pin(process.pid, slot.cores)
        worker = _Worker(process, path)
        with self._lock:
            self._workers[slot.index] = worker
        if self._stopping.is_set():
            process.terminate()
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        ready = _read(worker)
        timer.cancel()
        if ready is None and not self._stopping.is_set():
            self._broken.append(
                f"worker {slot.index} can't start ({_ending(process)}): "
                f"{last_line(path) or 'no output'}; see {path}"
            )
        return worker if ready is not None else None

    def _train(self, worker: _Worker, task: Task) -> None:
        worker.task, worker.since, worker.hung = task, time.time(), False
        self._tell(task, "running", "")
        reply = None
        try:
            assert worker.process.stdin is not None  # opened with a pipe
            worker.process.stdin.write(f"{task.run_dir}\n")
            worker.process.stdin.flush()
            reply = _read(worker)
        except BrokenPipeError:
            pass
        worker.task = None
        if reply is not None:
            self._tell(task, str(reply["status"]), str(reply.get("message", "")))
        else:
            self._tell(task, *self._dead(worker, task))

    def _dead(self, worker: _Worker, task: Task) -> tuple[str, str]:
        """Record the death of a worker as the end of its run, and say what is known of it."""
        how = _ending(worker.process)
        record = _record_status(task.run_dir)
        if record in DONE:
            return record, ""
        if worker.hung:
            status, message = "failed", f"no progress for {self._hang_seconds:g} s; worker ended"
        elif self._stopping.is_set():
            status, message = "preempted", "the launcher was stopped"
        else:
            status, message = "failed", f"worker {how}; see {worker.log}"
        try:
            append_status(task.run_dir, status, message=message)
        except IsoflopError as error:
            message = f"{message} ({error})"
        return status, message

    def _tell(self, task: Task, status: str, message: str) -> None:
        with self._lock:
            self._report(task, status, message)

    def _kill_hung(self) -> None:
        """End workers whose run has written nothing for too long; their thread sees them die."""
        for worker in list(self._workers.values()):
            task = worker.task
            if task is None or time.time() - worker.since < self._hang_seconds:
                continue
            if silence(task.run_dir) > self._hang_seconds:
                worker.hung = True
                log.warning("%s shows no progress; its worker is replaced", task.run_dir.name)
                worker.process.kill()


def _read(worker: _Worker) -> dict[str, object] | None:
    """The worker's next reply, or None once it is dead."""
    assert worker.process.stdout is not None  # opened with a pipe
    line = worker.process.stdout.readline()
    try:
        return json.loads(line) if line else None
    except ValueError:
        return None


def _retire(worker: _Worker) -> None:
    """Close the worker's input, which ends it between runs, and wait for it."""
    assert worker.process.stdin is not None  # opened with a pipe
    with contextlib.suppress(BrokenPipeError):
        worker.process.stdin.close()
    try:
        worker.process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        worker.process.wait()


def _ending(process: subprocess.Popen[str]) -> str:
    code = process.wait()
    if code >= 0:
        return f"exited with status {code}"
    name = signal.Signals(-code).name
    cause = " (out of memory, or killed by hand)" if name == "SIGKILL" else ""
    return f"killed by {name}{cause}"


def _record_status(run_dir: Path) -> str | None:
    try:
        record = read_record(run_dir)
    except IsoflopError:
        return None
    return record.status if record else None


def _pin(pid: int, cores: tuple[int, ...]) -> None:
    if hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(pid, cores)
        except OSError as error:
            log.warning("can't pin worker %d to cores %s: %s", pid, cores, error)
