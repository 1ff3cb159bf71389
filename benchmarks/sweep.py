"""A sweep on all cores against the sum of its steps, and against fresh processes one after another.

    python -m benchmarks.sweep [grid=small] [scale=1] [serial=4]

grid=small is an IsoFLOP grid of the demo's kind, its budgets times `scale`; grid=demo is the
demo's own IsoFLOP grid. The goal: workers are in their training loops, not starting, waiting or
writing, for 98 % of cores x wall-clock time of the whole command. `serial` runs of the same specs
(or serial=all, or 0), each `python -m train.run` in a fresh process, say what warm workers save.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, parse, report
from train.rundir.record import read_record

BUDGETS = (3e10, 1e11, 3e11)
WIDTHS = (8, 12, 16, 24, 32, 48)
OF_CORES = 0.98


def small_grid(scale: float) -> list[str]:
    """Overrides of an IsoFLOP grid like the demo's, which takes about a minute at scale 0.5."""
    budgets = ",".join(f"{budget * scale:g}" for budget in BUDGETS)
    return [
        *("sweep=empty", "sweep.name=bench", "sweep.seeds=[0]", "data.val_tokens=65536"),
        *("runtime.n_evals=4", "calibrate=false", "sweep.grids.iso.kind=isoflop"),
        *(f"sweep.grids.iso.budgets=[{budgets}]", f"sweep.grids.iso.d_models={list(WIDTHS)}"),
        "sweep.grids.iso.bounds={min_tokens_per_param:0.5,max_tokens_per_param:1000}",
    ]


def grid_of(name: str, scale: float) -> list[str]:
    """Overrides of the grid of that name."""
    if name == "demo":
        abilities = ("codebook", "addition", "addition_seeds")
        return ["preset=demo", *(f"~sweep.grids.{name}" for name in abilities)]
    if name != "small":
        sys.exit(f"grid={name} is unknown; expected small or demo")
    return small_grid(scale)


def train_sweep(root: Path, workers: int, grid: list[str]) -> tuple[float, dict[Path, float]]:
    """Wall-clock seconds of the launch, and each run's seconds in its training loop."""
    command = [
        sys.executable,
        "-m",
        "sweeps",
        "launch",
        str(root),
        f"launcher.workers={workers}",
        *grid,
    ]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    runs = {path.parent: read_record(path.parent) for path in root.glob("runs/**/record.json")}
    return wall, {run: record.wall_seconds for run, record in runs.items() if record is not None}


def train_serially(run_dirs: list[Path], scratch: Path) -> float:
    """Wall-clock seconds of the same specs, a fresh process each, one after another."""
    started = time.perf_counter()
    for number, run_dir in enumerate(run_dirs):
        again = scratch / str(number)
        again.mkdir()
        (again / "spec.json").write_bytes((run_dir / "spec.json").read_bytes())
        subprocess.run(
            [sys.executable, "-m", "train.run", str(again)], check=True, capture_output=True
        )
    return time.perf_counter() - started


def against_serial(loops: dict[Path, float], wall: float, asked: str, scratch: Path) -> Figure:
    """What the same specs would take in fresh processes, measured on some and scaled to all."""
    n_serial = len(loops) if asked == "all" else min(int(asked), len(loops))
    chosen = sorted(loops, key=lambda run: loops[run])[:: len(loops) // n_serial][:n_serial]
    scratch.mkdir()
    around = train_serially(chosen, scratch) - sum(loops[run] for run in chosen)
    serial = sum(loops.values()) + around / n_serial * len(loops)
    measured = f"start and end of {n_serial} runs measured, all loops added"
    return Figure(
        "fresh processes, one at a time / the sweep",
        serial / wall,
        "x",
        note="" if n_serial == len(loops) else measured,
    )


def main(arguments: list[str]) -> int:
    settings = parse(arguments, __doc__, ("grid", "scale", "serial"))
    grid = grid_of(settings.get("grid", "small"), float(settings.get("scale", 1)))
    asked = settings.get("serial", "4")
    if asked != "all" and not asked.isdecimal():
        sys.exit(f"serial={asked} is neither a number of runs nor all")
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    with tempfile.TemporaryDirectory() as scratch:
        wall, loops = train_sweep(Path(scratch) / "sweep", workers, grid)
        trained = sum(loops.values())
        figures = [
            Figure(f"sweep of {len(loops)} runs on {workers} cores", wall, "s"),
            Figure("sum of training loops / cores", trained / workers, "s"),
            Figure("share of the cores' time in loops", trained / workers / wall, "", OF_CORES),
        ]
        if asked != "0":
            figures.append(against_serial(loops, wall, asked, Path(scratch) / "serial"))
    return report(figures, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
