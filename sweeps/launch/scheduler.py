"""Which run starts next: the longest that fits the memory left on its device."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sweeps.plan.cost_model import predicted_bytes
from train.config.run_config import RunConfig
from train.config.spec import known
from train.config.wsd_branching import flops_of_steps, trunk_id


@dataclass(frozen=True)
class QueuedRun:
    """A run to launch with its predicted cost; unknown seconds sort by FLOPs alone.

    Runs of one `trunk` wait for one another, those of fewer `n_tokens` first.
    """

    run_dir: Path
    seconds: float = 0.0
    flops: float = 0.0
    memory_bytes: float = 0.0
    trunk: str | None = None
    n_tokens: int = 0


Report = Callable[[QueuedRun, str, str], None]
"""Told (task, status, message) when a run starts ("running") and when it ends."""


def task_of(run_dir: Path, job: RunConfig) -> QueuedRun:
    """A run of unknown duration, its cost as its spec says, as if it trained every step itself."""
    return QueuedRun(
        run_dir,
        flops=flops_of_steps(job.spec, known(job.spec.n_steps, "n_steps")),
        memory_bytes=predicted_bytes(
            job.spec, job.runtime.micro_batch, on_gpu=job.runtime.device == "cuda"
        ),
        trunk=trunk_id(job.spec) if job.runtime.branch else None,
        n_tokens=int(known(job.spec.horizon.n_tokens, "horizon.n_tokens")),
    )


def chains(tasks: list[QueuedRun]) -> list[tuple[QueuedRun, ...]]:
    """Runs of one trunk together, the shortest first, any other run alone; the longest chain first.

    A branch starts where a shorter run left its trunk: side by side they would save nothing.
    """
    groups: dict[str, list[QueuedRun]] = {}
    for task in tasks:
        groups.setdefault(task.trunk or str(task.run_dir), []).append(task)
    made = [tuple(sorted(group, key=lambda task: task.n_tokens)) for group in groups.values()]
    return sorted(made, key=lambda chain: (-_seconds(chain), -_flops(chain)))


def _seconds(chain: tuple[QueuedRun, ...]) -> float:
    return sum(task.seconds for task in chain)


def _flops(chain: tuple[QueuedRun, ...]) -> float:
    return sum(task.flops for task in chain)


class MemoryScheduler:
    """Tasks longest first, handed to several threads within a memory limit a device.

    A run of a trunk counts with the runs that wait for it, and while one of them trains no other of
    that trunk is handed out. A device with nothing running always takes a task, however large, so
    that nothing waits forever.
    """

    def __init__(self, tasks: list[QueuedRun], limits: dict[str | None, float]) -> None:
        tails = [chain[start:] for chain in chains(tasks) for start in range(len(chain))]
        tails.sort(key=lambda tail: (-_seconds(tail), -_flops(tail)))
        self._waiting = [tail[0] for tail in tails]
        self._trunks: set[str] = set()
        self._limits = limits
        self._used: dict[str | None, float] = {}
        self._running: dict[str | None, int] = {}
        self._changed = threading.Condition()

    def take(self, device: str | None) -> QueuedRun | None:
        """The next task for a worker on `device`, waiting for memory; None when none are left."""
        with self._changed:
            while self._waiting:
                task = next((t for t in self._waiting if self._fits(t, device)), None)
                if task is not None:
                    self._waiting.remove(task)
                    self._used[device] = self._used.get(device, 0.0) + task.memory_bytes
                    self._running[device] = self._running.get(device, 0) + 1
                    if task.trunk is not None:
                        self._trunks.add(task.trunk)
                    return task
                self._changed.wait()
            return None

    @property
    def left(self) -> int:
        """Tasks that no worker has taken."""
        return len(self._waiting)

    def release(self, task: QueuedRun, device: str | None) -> None:
        """Give back the memory of a task that ended."""
        with self._changed:
            self._used[device] -= task.memory_bytes
            self._running[device] -= 1
            self._trunks.discard(task.trunk or "")
            self._changed.notify_all()

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()

    def _fits(self, task: QueuedRun, device: str | None) -> bool:
        if task.trunk in self._trunks:
            return False
        limit = self._limits.get(device)
        if limit is None or not self._running.get(device):
            return True
        return self._used[device] + task.memory_bytes <= limit
