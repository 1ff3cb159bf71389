"""How our own work grows with the number of runs, from 10 to 10,000: plan, status, collect, fit.

    python -m benchmarks.scaling [most=10000] [figure=docs/figures/scaling.svg]

Finished sweeps are simulated (benchmarks/sweeps.py), which is timed too. Commands run in fresh
processes, start-up included; seconds are their CPU time. Growth is the slope of log seconds against
log runs over the last decade, less the seconds of the smallest sweep. One is linear.
"""

import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from analysis.parametric import fit_parametric
from analysis.surface import Surface
from benchmarks.figures import Figure, parse, report
from benchmarks.sweeps import timed

SIZES = (10, 100, 1_000, 10_000)
LINEAR = 1.1
"""Greatest slope that passes for linear, with what timing scatters."""

LONGEST_COLLECT = 10.0
TRUTH = Surface(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)


def fit_seconds(n_runs: int) -> float:
    """Least of three times of an approach-3 fit to simulated losses."""
    rng = np.random.default_rng(0)
    n_params, n_tokens = np.exp(rng.uniform(math.log(1e6), math.log(1e10), (2, n_runs)))
    loss = np.asarray(TRUTH.loss(n_params, n_tokens)) * np.exp(rng.normal(0, 0.005, n_runs))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        fit_parametric(n_params, n_tokens, loss)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def measure(sizes: list[int]) -> dict[str, dict[int, float]]:
    """Seconds of every command by the number of runs that were made."""
    actions = {"simulate": "launch", "plan": "plan", "status": "status", "collect": "collect"}
    seconds: dict[str, dict[int, float]] = {name: {} for name in (*actions, "fit")}
    for size in sizes:
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory) / "large"
            found = {name: timed(root, action, size)[1] for name, action in actions.items()}
            n_made = sum(1 for _ in root.rglob("record.json"))
        for name, value in found.items():
            seconds[name][n_made] = value
        seconds["fit"][n_made] = fit_seconds(n_made)
        line = ", ".join(f"{name} {by[n_made]:.2f}" for name, by in seconds.items())
        print(f"{n_made} runs: {line} s", file=sys.stderr, flush=True)
    return seconds


def growth(seconds: dict[int, float]) -> float | None:
    """Slope over the last decade; None where the work is lost in the start-up's scatter."""
    least, *_, before, last = sorted(seconds)
    start = seconds[least]
    early, late = seconds[before] - start, seconds[last] - start
    if early < 0.05 * start or late <= 0:
        return None
    return math.log(late / early) / math.log(last / before)


def draw(seconds: dict[str, dict[int, float]], path: Path) -> None:
    """Seconds against runs, both logarithmic, with a line of slope one."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for name, by in seconds.items():
        axes.loglog(list(by), list(by.values()), marker="o", label=name)
    sizes = sorted(next(iter(seconds.values())))
    axes.loglog(sizes, [1e-3 * n for n in sizes], color="0.7", ls="--", label="1 ms a run")
    axes.set(xlabel="runs", ylabel="seconds")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(arguments: list[str]) -> int:
    settings = parse(arguments, __doc__, ("most", "figure"))
    most = int(settings.get("most", SIZES[-1]))
    seconds = measure([size for size in SIZES if size <= most])
    figures = []
    for name, by in seconds.items():
        largest = max(by)
        limit = LONGEST_COLLECT if name == "collect" and largest >= 10_000 else None
        figures.append(Figure(f"{name}, {largest:,} runs", by[largest], "s", at_most=limit))
        slope = growth(by)
        if slope is None:
            figures.append(Figure(f"growth of {name}", None, note="lost in the start-up"))
        else:
            figures.append(Figure(f"growth of {name}", slope, "", at_most=LINEAR))
    if "figure" in settings:
        draw(seconds, Path(settings["figure"]))
    return report(figures, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
