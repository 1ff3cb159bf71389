"""Bookkeeping of a large sweep, measured on simulated runs: simulate, plan, status, collect.

    python -m benchmarks.sweeps [N_RUNS] [DIRECTORY]

Makes a sweep of N_RUNS (default 10,000) finished runs of 50 curve points each (launcher=simulate,
which gathers them too), then times each command in a process of its own, as a user runs it:
wall-clock and CPU seconds, and peak memory.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sweeps.directory.layout import SweepPaths

N_RUNS, N_POINTS = 10_000, 50
OTHERS = ("plan", "status", "collect")
WIDTHS = [16, 24, 32, 48, 64, 80, 96, 112, 128, 144]
BUDGETS = [1e11, 2e11, 4e11, 8e11, 1.6e12, 3.2e12, 6.4e12, 1.28e13, 2.56e13, 5.12e13]


def overrides(root: Path, n_runs: int) -> list[str]:
    """An IsoFLOP sweep of about `n_runs` cells, seeds included, whose runs are simulated."""
    seeds = list(range(max(1, n_runs // (len(WIDTHS) * len(BUDGETS)))))
    budgets = BUDGETS[: max(1, n_runs // len(WIDTHS))]
    return [
        *("launcher=simulate", f"out={root}", f"runtime.n_evals={N_POINTS}"),
        *("sweep=empty", "sweep.name=large", f"sweep.seeds={seeds}", "data.max_epochs=1e6"),
        *("sweep.grids.iso.kind=isoflop", f"sweep.grids.iso.budgets={budgets}"),
        f"sweep.grids.iso.d_models={WIDTHS}",
    ]


def timed(root: Path, verb: str, n_runs: int) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak MB) of one verb of `python -m sweeps`."""
    return _timed(["sweeps", verb, *overrides(root, n_runs)])


def cpu_seconds(command: list[str]) -> float:
    """CPU seconds of `python -m COMMAND` and of the processes that it started and waited for."""
    return _timed(command)[1]


def _timed(command: list[str]) -> tuple[float, float, float]:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    complaint = process.stderr.read()  # ends with the process; progress goes there as well
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = complaint.decode(errors="replace").strip().splitlines()[-1:]
        raise SystemExit(f"{command[0]} exited with status {process.returncode}: {said}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def largest_directory(root: Path) -> int:
    """Entries of the fullest directory of the sweep."""
    return max(len(files) + len(folders) for _, folders, files in os.walk(root))


def main(argv: list[str]) -> None:
    n_runs = int(argv[0]) if argv else N_RUNS
    with tempfile.TemporaryDirectory(dir=argv[1] if len(argv) > 1 else None) as directory:
        root = Path(directory) / "large"
        print(f"{'':8} {'wall':>8} {'CPU':>8} {'peak':>10}")
        for name, action in (("simulate", "launch"), *((x, x) for x in OTHERS)):
            wall, cpu, megabytes = timed(root, action, n_runs)
            print(f"{name:8} {wall:6.2f} s {cpu:6.2f} s {megabytes:7.0f} MB", flush=True)
        print(f"fullest directory: {largest_directory(SweepPaths(root).runs)} entries")


if __name__ == "__main__":
    main(sys.argv[1:])
