"""What Slurm jobs ask for: runs packed into jobs, jobs of equal needs put into one array."""

from dataclasses import dataclass, replace
from math import ceil

from sweeps.launch.scheduler import QueuedRun, chains
from sweeps.plan.cost_model import makespan
from sweeps.spec.launcher import LauncherSpec

MINUTES = (10, 20, 30, 60, 120, 240, 480, 720, 1440, 2880, 4320, 7200, 10080)
"""Time limits to choose from; a job near its limit saves and requeues, so none is lost."""

GIGABYTES = (2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 1024)

UNKNOWN_MINUTES = 240
"""Time limit of runs whose duration was not predicted."""

TIME_MARGIN, START_MINUTES = 1.5, 3.0
PROCESS_GB, MEMORY_MARGIN = 1.5, 1.3


@dataclass(frozen=True)
class Batch:
    """Jobs of equal needs, each a list of runs, longest first; needs are per node."""

    minutes: int
    mem_gb: float
    cpus: int
    gpus: int
    jobs: tuple[tuple[QueuedRun, ...], ...]

    def arrays(self, limit: int) -> "list[Batch]":
        """The batch cut into parts of at most `limit` jobs."""
        starts = range(0, len(self.jobs), limit)
        return [replace(self, jobs=self.jobs[start : start + limit]) for start in starts]


def batches(
    tasks: list[QueuedRun],
    launcher: LauncherSpec,
    scale_time: float = 1.0,
    scale_memory: float = 1.0,
) -> list[Batch]:
    """Pack runs into jobs and group the jobs by resources, the longest batch first.

    Runs of one trunk go into one job, which trains them one after another.
    Time and memory come from the plan's prediction with a margin, rounded up to a usual size, times
    the scales (for a retry after timeout or oom); `time_minutes` and `mem_gb` override the former.
    """
    groups: dict[tuple[int, float, int], list[tuple[QueuedRun, ...]]] = {}
    for packed in _packed(chains(tasks), launcher.runs_per_job):
        job = tuple(task for chain in packed for task in chain)
        at_once = min(concurrency(launcher), len(packed))
        needs = (
            _minutes(packed, at_once, launcher, scale_time),
            _memory(job, at_once, launcher, scale_memory),
            _cpus(launcher, at_once),
        )
        groups.setdefault(needs, []).append(job)
    return [
        Batch(minutes, mem_gb, cpus, launcher.gpus, tuple(jobs))
        for (minutes, mem_gb, cpus), jobs in sorted(groups.items(), reverse=True)
    ]


Chain = tuple[QueuedRun, ...]


def _packed(ordered: list[Chain], size: int) -> list[list[Chain]]:
    """Neighbouring chains together until a job has its number of runs; none is cut."""
    jobs: list[list[Chain]] = []
    room = 0
    for chain in ordered:
        if room < len(chain) or room <= 0:
            jobs.append([])
            room = size
        jobs[-1].append(chain)
        room -= len(chain)
    return jobs


def concurrency(launcher: LauncherSpec) -> int:
    """Runs that one job trains at the same time."""
    if launcher.gpus:
        return launcher.gpus * launcher.runs_per_gpu if launcher.gpus == 1 else 1
    return max(1, (launcher.cpus or 1) // launcher.threads)


def _minutes(job: list[Chain], at_once: int, launcher: LauncherSpec, scale: float) -> int:
    if launcher.time_minutes is not None:
        return ceil(launcher.time_minutes * scale)
    if not all(task.seconds for chain in job for task in chain):
        return ceil(UNKNOWN_MINUTES * scale)
    need = makespan([sum(task.seconds for task in chain) for chain in job], at_once) / 60
    return ceil(_usual(START_MINUTES + TIME_MARGIN * need, MINUTES) * scale)


def _memory(
    job: tuple[QueuedRun, ...], at_once: int, launcher: LauncherSpec, scale: float
) -> float:
    if launcher.mem_gb is not None:
        return launcher.mem_gb * scale
    largest = sorted((task.memory_bytes for task in job), reverse=True)[:at_once]
    need = MEMORY_MARGIN * sum(largest) / 1e9 + PROCESS_GB * (at_once + launcher.gpus)
    return _usual(need, GIGABYTES) * scale


def _cpus(launcher: LauncherSpec, at_once: int) -> int:
    ranks = max(1, launcher.gpus)
    return launcher.cpus or launcher.threads * max(at_once, ranks)


def _usual(need: float, sizes: tuple[int, ...]) -> int:
    """The smallest usual size that holds a need; above all of them, the need itself."""
    return next((size for size in sizes if size >= need), ceil(need))
