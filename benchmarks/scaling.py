"""How our own work grows with the number of runs: plan, status, collect, launch, eval, fit.

    python -m benchmarks.scaling [most=10000] [sizes=10,100,...] [trained=1000]
        [figure=docs/figures/scaling.svg]

Finished sweeps of up to `most` runs (100000: seven processor minutes more), or of these sizes, are
simulated (benchmarks/sweeps.py), which is timed too; of up to `trained` runs, none with trained=0,
they are trained, a step of a model of width 4 each, and evaluated on a few sums. Commands run in
fresh processes, start-up included; seconds are CPU time, of a command's workers too. Growth is the
slope of log seconds against log runs between the two largest sweeps, at 100,000 runs from 1,000,
less the seconds of the smallest. One is linear. Peak memory is that of the command's own process.
"""

import math
import shutil
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np

from analysis.fits.parametric.fit import fit_parametric
from analysis.fits.surface import Surface
from benchmarks.figures import Figure, parse, report
from benchmarks.sweeps import cpu_seconds, timed

HUGE = 100_000
SIZES = (10, 100, 1_000, 3_000, 10_000, HUGE)
TRAINED = (10, 100, 300, 1_000, 3_000, 10_000)
LINEAR = 1.15
"""Greatest slope that passes for linear. Sorting alone has 1.1 at 10,000; what looks at every pair
of runs has 2."""

LINEAR_FROM_1000 = 1.1
"""The same between 1,000 and 100,000 runs, where the start-up matters less."""

ROUNDS = {"launch": 1, "plan": 2, "status": 3, "collect": 1, "fit": 5}
"""How often each is timed: what a command adds to its start-up can be less than that scatters."""

MEMORY, ROOM = Path("/dev/shm"), 2**16
"""Where files can lie in memory, and the free bytes that a run of the largest sweep needs there."""

MOST_BYTES = 2e9
"""Peak memory of plan, status and collect, at any of these sizes."""

LONGEST_COLLECT = 10.0
TRUTH = Surface(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)

Times = dict[str, dict[int, float]]
"""Seconds, or peak megabytes, by what was timed and the number of runs."""


def fit_seconds(n_runs: int) -> float:
    """Seconds of an approach-3 fit to simulated losses."""
    rng = np.random.default_rng(0)
    n_params, n_tokens = np.exp(rng.uniform(math.log(1e6), math.log(1e10), (2, n_runs)))
    loss = np.asarray(TRUTH.loss(n_params, n_tokens)) * np.exp(rng.normal(0, 0.005, n_runs))
    started = time.process_time()
    fit_parametric(n_params, n_tokens, loss)
    return time.process_time() - started


def simulated(sizes: list[int]) -> tuple[Times, Times]:
    """Seconds of what only reads, writes and fits, the least of several rounds, and peak megabytes.

    A round times every size in turn, so that a machine that changes its speed changes it for all.
    Files lie in memory where that can be had: what a disk's file system spends on the files of
    10,000 runs was 14 to 31 s in four tries, where memory takes 1 s, and is not our work.
    """
    seconds: Times = {name: dict.fromkeys(sizes, math.inf) for name in ROUNDS}
    megabytes: Times = {name: dict.fromkeys(sizes, 0.0) for name in ("plan", "status", "collect")}
    needed = ROOM * max(sizes)
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > needed
    with tempfile.TemporaryDirectory(dir=MEMORY if in_memory else None) as directory:
        for name, n_rounds in ROUNDS.items():
            for k, size in product(range(n_rounds), sizes):
                if k and size == HUGE:
                    continue
                root = Path(directory) / f"{size}-{k if name == 'launch' else 0}"
                took, peak = _once(root, name, size)
                seconds[name][size] = min(seconds[name][size], took)
                if name in megabytes:
                    megabytes[name][size] = max(megabytes[name][size], peak)
    seconds["simulate"] = seconds.pop("launch")
    for size in sizes:
        _note(size, {name: by[size] for name, by in seconds.items()})
    return seconds, megabytes


def _once(root: Path, name: str, size: int) -> tuple[float, float]:
    """(CPU seconds, peak megabytes) of one verb, or of a fit in this process."""
    return (fit_seconds(size), 0.0) if name == "fit" else timed(root, name, size)[1:]


def trained(sizes: list[int]) -> Times:
    """Seconds of training and evaluating sweeps of the smallest runs there are: the least of two
    rounds of the first, whose start-up is taken off all others, and one round of these.
    """
    seconds: Times = {name: dict.fromkeys(sizes, math.inf) for name in ("launch", "eval")}
    with tempfile.TemporaryDirectory() as directory:  # the data's shards are there from now on
        cpu_seconds(["sweeps", "launch", *_smallest(Path(directory) / "first", 1)])
    for k, size in product(range(2), sizes):
        if k and size > min(sizes):
            continue
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory) / "small"
            launch = ["sweeps", "launch", *_smallest(root, size)]
            asked = ["n_items=4", "n_seen=2", "n_by_length=2"]
            evaluate = ["eval", str(root), "task=addition", *asked]
            for name, command in (("launch", launch), ("eval", evaluate)):
                seconds[name][size] = min(seconds[name][size], cpu_seconds(command))
        _note(size, {name: by[size] for name, by in seconds.items()})
    return seconds


def _smallest(root: Path, n_runs: int) -> list[str]:
    return [
        *(f"out={root}", "sweep=empty", "sweep.name=small", "data=arithmetic", "calibrate=false"),
        *(f"sweep.seeds={list(range(n_runs))}", "data.val_tokens=2048", "runtime.n_evals=1"),
        *("sweep.grids.one.kind=grid", "sweep.grids.one.d_models=[4]", "model.seq_len=32"),
        *("sweep.grids.one.n_tokens=[64]", "optim.batch_tokens=64"),
    ]


def _note(n_runs: int, found: dict[str, float]) -> None:
    line = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    print(f"{n_runs} runs: {line} s", file=sys.stderr, flush=True)


def growth(seconds: dict[int, float]) -> float | None:
    """Slope between the two largest; None where the work is lost in the start-up's scatter."""
    least, *_, before, last = sorted(seconds)
    if last == HUGE:
        before = 1_000
    start = seconds[least]
    early, late = seconds[before] - start, seconds[last] - start
    if early < 0.1 * start or late <= 0:
        return None
    return math.log(late / early) / math.log(last / before)


def draw(seconds: Times, path: Path) -> None:
    """Seconds against runs, both logarithmic, with a line of slope one, labelled at their ends."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    heights = _apart({name: by[max(by)] for name, by in seconds.items()})
    for number, (name, by) in enumerate(seconds.items()):
        axes.loglog(list(by), list(by.values()), marker="o", ms=4, color=f"C{number}")
        axes.text(max(by) * 1.2, heights[name], name, va="center", color=f"C{number}")
    sizes = sorted({n for by in seconds.values() for n in by})
    axes.loglog(sizes, [1e-3 * n for n in sizes], color="0.7", ls="--", zorder=0)
    axes.annotate(
        "1 ms a run", (sizes[0], 1e-3 * sizes[0]), (6, -2), textcoords="offset points", color="0.5"
    )
    axes.set(xlabel="runs", ylabel="CPU seconds, start-up included", xlim=(7, sizes[-1] * 4))
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _apart(ends: dict[str, float], least: float = 1.6) -> dict[str, float]:
    """Where labels stand: at their lines' ends, a factor `least` apart, from below upwards."""
    heights: dict[str, float] = {}
    lowest = 0.0
    for name in sorted(ends, key=lambda one: ends[one]):
        heights[name] = max(ends[name], lowest)
        lowest = heights[name] * least
    return heights


def figures_of(seconds: Times, megabytes: Times) -> list[Figure]:
    """The largest sweep's seconds, the growth of each, and peak memory."""
    figures = []
    for name, by in seconds.items():
        largest = max(by)
        limit = LONGEST_COLLECT if name == "collect" and largest == 10_000 else None
        figures.append(Figure(f"{name}, {largest:,} runs", by[largest], "s", at_most=limit))
        slope = growth(by) if len(by) > 2 else None
        note = "" if slope is not None else "lost in the start-up"
        most = LINEAR_FROM_1000 if largest == HUGE else LINEAR
        figures.append(Figure(f"growth of {name}", slope, "", at_most=most, note=note))
    for name, by in megabytes.items():
        largest = max(by)
        what = f"peak memory of {name}, {largest:,} runs"
        figures.append(Figure(what, by[largest], "MB", at_most=MOST_BYTES / 1e6))
    return figures


def main(arguments: list[str]) -> int:
    settings = parse(arguments, __doc__, ("most", "sizes", "trained", "figure"))
    most, most_trained = int(settings.get("most", 10_000)), int(settings.get("trained", 1_000))
    sizes = [size for size in SIZES if size <= most]
    if "sizes" in settings:
        sizes = sorted(int(size) for size in settings["sizes"].split(","))
    seconds, megabytes = simulated(sizes)
    if most_trained:
        seconds |= trained([size for size in TRAINED if size <= most_trained])
    if "figure" in settings:
        draw(seconds, Path(settings["figure"]))
    return report(figures_of(seconds, megabytes), settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
