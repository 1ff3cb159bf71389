"""How fast and how exact approach 3 is, against the literature's way on the same rows.

    python -m benchmarks.fits            # every start of the literature's grid, some minutes
    python -m benchmarks.fits stride=100 # every 100th start, its time scaled up, and said so

The literature: scipy's L-BFGS-B with numeric gradients from 4,500 starts, summed Huber loss of
width 1e-3, on the 240 digitised runs of Hoffmann et al. 2022. Ours: `fit_parametric`, and 4,000
refits of resamples, each from two starts. Goals are of seconds of the clock on idle cores; seconds
of the processor and the load stand beside them, since a busy machine slows the clock more.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.data.cost_law import SIX_ND
from analysis.data.loss_table import select
from analysis.data.published.download import read_published
from analysis.data.run_arrays import FitInput, RunArrays
from analysis.data.table_error import TableError
from analysis.fits.parametric.fit import fit_parametric, pose, refit
from analysis.fits.parametric.lbfgs import fit_lbfgs, starting_grid
from analysis.stats.resampling import resample_counts
from analysis.studies.fit_config import FitConfig
from analysis.studies.forms.candidates import Candidate, candidates
from analysis.studies.forms.rolling import roll
from benchmarks.figures import Figure, parse, report


@dataclass(frozen=True)
class Seconds:
    """The least of some repeats: of the clock, and of the processor over all threads."""

    clock: float
    processor: float

    def __str__(self) -> str:
        scale, unit = (1e3, "ms") if self.clock < 0.1 else (1, "s")
        load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        return f"{scale * self.clock:8.2f} {unit} ({scale * self.processor:.2f} processor{load})"


def timed(task: Callable[[], Any], repeats: int = 1) -> tuple[Any, Seconds]:
    """A task's result and its least seconds."""
    clock, processor, result = [], [], None
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        result = task()
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return result, Seconds(min(clock), min(processor))


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N, D and L of the 240 runs."""
    runs = select(read_published("hoffmann2022"), drop_highest=5)
    return runs.numbers("n_params"), runs.numbers("n_tokens"), runs.numbers("loss")


def forms_of(
    n_params: np.ndarray, n_tokens: np.ndarray, loss: np.ndarray
) -> tuple[FitInput, list[Candidate]]:
    """The runs without budgets, and every form under every objective."""
    flops = 6 * n_params * n_tokens
    none = np.full(len(loss), np.nan)
    data = FitInput(RunArrays("6nd", n_params, n_tokens, flops, loss, none, SIX_ND))
    return data, candidates(data, FitConfig())


LONGEST_FIT, LONGEST_REFITS, LONGEST_ROLLING = 0.005, 1.0, 5.0
"""Goals on two idle cores, in seconds."""


def main(arguments: list[str]) -> int:
    """Print times, objectives and their ratios."""
    settings = parse(arguments, __doc__, ("stride",))
    stride = int(settings.get("stride", 1))
    try:
        runs = rows()
    except TableError as error:  # neither a network nor a folder that holds the table
        lacks = f"the table is not there: {str(error).partition(';')[0]}"
        absent = ("parametric fit of 240 runs", None, "s", None, LONGEST_FIT, lacks)
        return report([Figure(*absent)], settings)
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    ours, our_seconds = timed(lambda: fit_parametric(*runs), repeats=20)
    problem = pose(*runs, None, 1e-3, "sum", 1.0, {}, SIX_ND)
    every = starting_grid()
    starts = every[::stride]
    (theirs, _), their_seconds = timed(lambda: fit_lbfgs(problem, starts))
    scaled = their_seconds.clock * len(every) / len(starts)
    print(f"{len(runs[0])} runs, {n_cores} cores, least of 20 for the fit and 3 for refits")
    print(f"fit_parametric        {our_seconds}   objective {ours.objective:.10g}")
    how = "" if stride == 1 else f" (measured on {len(starts)}, scaled)"
    print(f"L-BFGS-B, 4,500 starts{scaled:10.1f} s    objective {theirs.objective:.10g}{how}")
    print(f"ratio                 {scaled / our_seconds.clock:10,.0f} x    ours is lower or equal: "
          f"{ours.objective <= theirs.objective * (1 + 1e-9)}")  # fmt: skip

    weights = resample_counts(len(runs[0]), 4000, np.random.default_rng(0))
    n_threads = min(2, n_cores)
    _, seconds = timed(lambda: refit(ours, weights, n_threads), repeats=3)
    ours_per = seconds.clock / 4000
    print(f"4,000 refits, {n_threads} thread(s){seconds}   two starts each")
    theirs_per = scaled / 4500
    ratio = theirs_per / ours_per
    print(f"one start of L-BFGS-B {theirs_per * 1e3:10.1f} ms   {ratio:,.0f} refits of ours")
    found = forms_of(*runs)
    _, rolled = timed(lambda: roll(found[0], found[1]), repeats=3)
    print(f"rolling hold-out      {rolled}   {len(found[1])} forms and objectives, 8 groups")
    what = "rolling hold-out of all forms, 240 runs"
    figures = [
        Figure(what, rolled.clock, "s", at_most=LONGEST_ROLLING),
        Figure("parametric fit of 240 runs", our_seconds.clock, "s", at_most=LONGEST_FIT),
        Figure(f"4,000 refits, {n_threads} threads", seconds.clock, "s", at_most=LONGEST_REFITS),
        Figure("4,500 L-BFGS-B starts / the fit", scaled / our_seconds.clock, "x"),
    ]
    return report(figures, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
