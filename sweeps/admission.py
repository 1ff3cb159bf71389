"""Which run starts next: the longest that fits the memory left on its device."""

import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """A run to launch with its predicted cost; unknown seconds sort by FLOPs alone."""

    run_dir: Path
    seconds: float = 0.0
    flops: float = 0.0
    memory_bytes: float = 0.0


class Admission:
    """Tasks longest first, handed to several threads within a memory limit a device.

    A device with nothing running always takes a task, however large, so that nothing waits forever.
    """

    def __init__(self, tasks: list[Task], limits: dict[str | None, float]) -> None:
        self._waiting = sorted(tasks, key=lambda task: (-task.seconds, -task.flops))
        self._limits = limits
        self._used: dict[str | None, float] = {}
        self._running: dict[str | None, int] = {}
        self._changed = threading.Condition()

    def take(self, device: str | None) -> Task | None:
        """The next task for a worker on `device`, waiting for memory; None when none are left."""
        with self._changed:
            while self._waiting:
                task = next((t for t in self._waiting if self._fits(t, device)), None)
                if task is not None:
                    self._waiting.remove(task)
                    self._used[device] = self._used.get(device, 0.0) + task.memory_bytes
                    self._running[device] = self._running.get(device, 0) + 1
                    return task
                self._changed.wait()
            return None

    def release(self, task: Task, device: str | None) -> None:
        """Give back the memory of a task that ended."""
        with self._changed:
            self._used[device] -= task.memory_bytes
            self._running[device] -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()

    def _fits(self, task: Task, device: str | None) -> bool:
        limit = self._limits.get(device)
        if limit is None or not self._running.get(device):
            return True
        return self._used[device] + task.memory_bytes <= limit
