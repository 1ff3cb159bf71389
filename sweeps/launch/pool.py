"""A fixed set of warm worker processes, each pinned to its threads, cores and device.

One thread a worker hands it runs, longest first; a worker that dies takes only its own run with it
and is replaced. Stopping once lets every worker save its run; stopping twice kills them.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sweeps.directory.run_state import last_line, written
from sweeps.launch.failures import GaveUpError
from sweeps.launch.scheduler import MemoryScheduler, QueuedRun, Report
from sweeps.launch.worker_process import WORKER, WorkerProcess
from sweeps.plan.machine import Slot
from train.config.spec import IsoflopError
from train.rundir.record import DONE, RunPaths, append_status, read_record

TICK_SECONDS = 0.5


Ended = Callable[[Path, str, str], str]
"""Told (run directory, status, message) when a run ends; returns why to start no more, or ""."""

LOSSES_IN_A_ROW = 3
"""Runs that may take a slot's worker or device with them, one after the other and without a step,
before the slot is closed: the fault is then the place's and not the runs'."""

log = logging.getLogger(__name__)


@dataclass
class WorkerState:
    """A worker and the run that it has in hand, with what was last seen of the run's files."""

    worker: WorkerProcess
    task: QueuedRun | None = None
    hung: bool = False
    seen: tuple[float, ...] = ()
    seen_at: float = 0.0

    def begin(self, task: QueuedRun) -> None:
        self.hung, self.seen, self.seen_at, self.task = False, (), time.monotonic(), task

    def silent_seconds(self, task: QueuedRun) -> float:
        """Time since the run's files last changed, by a clock that no adjustment can jump."""
        seen = written(task.run_dir)
        if seen != self.seen:
            self.seen, self.seen_at = seen, time.monotonic()
        return time.monotonic() - self.seen_at


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
        ended: Ended | None = None,
        watch: Callable[[], None] | None = None,
    ) -> None:
        self._slots = slots
        self._log_dir = log_dir
        self._report = report
        self._hang_seconds = hang_seconds
        self._limits = limits or {}
        self._command = command or WORKER
        self._states: dict[int, WorkerState] = {}
        self._lock = threading.Lock()
        self._stopping = False  # set by signal handlers, which may not take an Event's lock
        self._queue = MemoryScheduler([], {})
        self._broken: list[str] = []
        self._ended = ended
        self._watch = watch
        self._gave_up = ""
        self._closed: list[str] = []

    def run(self, tasks: list[QueuedRun]) -> None:
        """Train every task's run directory.

        Raises:  IsoflopError: a worker can't even start, or runs are left and every slot is closed;
                 GaveUpError: too many runs failed.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._queue = MemoryScheduler([] if self._stopping else tasks, self._limits)
        used = self._slots[: max(1, min(len(self._slots), len(tasks)))]
        threads = [threading.Thread(target=self._serve, args=(slot,)) for slot in used]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(timeout=TICK_SECONDS / len(threads))
            self._kill_hung()
            if self._watch is not None and not self._stopping:
                self._watch()
        if self._broken:
            raise IsoflopError(self._broken[0])
        if self._gave_up:
            raise GaveUpError(self._gave_up)
        if self._closed and self._queue.left and not self._stopping:
            raise IsoflopError(
                f"{self._queue.left} runs were not started: {'; '.join(self._closed)}"
            )

    def stop(self) -> None:
        """Start nothing more and let every worker save its run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End every worker at once; their runs continue from the last saved state another time."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        self._stopping = True
        self._queue.close()
        for state in list(self._states.values()):
            state.worker.signal(number)

    def _serve(self, slot: Slot) -> None:
        """One worker's life: start, train what the queue hands out, be replaced on death.

        A worker whose device fails is replaced too; a slot where that happens to run after run is
        closed, and the others go on.
        """
        state, queue, losses = None, self._queue, 0
        while losses < LOSSES_IN_A_ROW and (task := queue.take(slot.device)) is not None:
            try:
                if state is None or not state.worker.alive:
                    if state is not None:
                        state.worker.retire()
                    state = self._start(slot)
                if state is None:
                    queue.close()
                    break
                losses = losses + 1 if self._train(state, task) else 0
            finally:
                queue.release(task, slot.device)
        if state is not None:
            state.worker.retire()
        if losses == LOSSES_IN_A_ROW:
            where = "the CPU" if slot.device is None else f"device {slot.device}"
            reason = (
                f"worker {slot.index} on {where} is closed: {losses} runs in a row ended without a "
                f"step, and its process or device with them"
            )
            log.error("%s", reason)
            self._closed.append(reason)

    def _start(self, slot: Slot) -> WorkerState | None:
        """A worker that has said it is ready; None where it can't start, with the reason kept."""
        path = self._log_dir / f"worker-{slot.index}.log"
        worker = WorkerProcess(slot, self._command, path)
        state = self._states[slot.index] = WorkerState(worker)
        if self._stopping:
            worker.signal(signal.SIGTERM)
        if worker.ready():
            return state
        worker.retire()
        if not self._stopping:
            reason = f"{worker.ending()}: {last_line(path) or 'no output'}"
            self._broken.append(f"worker {slot.index} can't start ({reason}); see {path}")
        return None

    def _train(self, state: WorkerState, task: QueuedRun) -> bool:
        """Train one run; whether it took the worker or its device with it and made no step."""
        # Taken just before a stop, whose signal may have gone to the worker's former run.
        if self._stopping:
            return False
        curve = _curve_bytes(task.run_dir)
        state.begin(task)
        self._tell(task, "running", "")
        reply = state.worker.ask(task.run_dir)
        state.task = None
        if reply is None:
            status, message = self._dead(state, task)
        else:
            status, message = str(reply["status"]), str(reply.get("message", ""))
        lost = status == "failed" and (reply is None or bool(reply.get("device_lost")))
        if reply is not None and lost:
            state.worker.retire()
        self._tell(task, status, message)
        return lost and _curve_bytes(task.run_dir) <= curve

    def _dead(self, state: WorkerState, task: QueuedRun) -> tuple[str, str]:
        """Record the death of a worker as the end of its run, and say what is known of it."""
        how = state.worker.ending()
        if (recorded := _recorded_status(task.run_dir)) in DONE:
            return recorded, ""
        if state.hung:
            status, message = "failed", f"no progress for {self._hang_seconds:g} s; worker ended"
        elif self._stopping:
            status, message = "preempted", "the launcher was stopped"
        elif state.worker.asked_to_stop:
            status, message = "preempted", f"worker {how}: it was asked to stop"
        else:
            status, message = "failed", f"worker {how}; see {state.worker.log_path}"
        try:
            append_status(task.run_dir, status, message=message)
        except IsoflopError as error:
            message = f"{message} ({error})"
        return status, message

    def _tell(self, task: QueuedRun, status: str, message: str) -> None:
        with self._lock:
            self._report(task, status, message)
            if status != "running" and self._ended is not None and not self._gave_up:
                self._gave_up = self._ended(task.run_dir, status, message)
                if self._gave_up:
                    # Runs in hand go on: some may be of a shape that does not fail.
                    self._queue.close()

    def _kill_hung(self) -> None:
        """End workers whose run has written nothing for too long; their thread sees them die."""
        for state in list(self._states.values()):
            task = state.task
            if task is not None and state.silent_seconds(task) > self._hang_seconds:
                state.hung = True
                log.warning("%s shows no progress; its worker is replaced", task.run_dir.name)
                state.worker.signal(signal.SIGKILL)


def _curve_bytes(run_dir: Path) -> int:
    """Length of a run's curve, which grows while it trains."""
    try:
        return RunPaths(run_dir).metrics.stat().st_size
    except OSError:
        return 0


def _recorded_status(run_dir: Path) -> str:
    """Status of a run's record, or an empty string where none can be read."""
    try:
        record = read_record(run_dir)
    except IsoflopError:
        return ""
    return record.status if record else ""
