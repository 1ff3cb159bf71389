"""How often the interval of a compute multiplier holds the truth, and how often its test errs.

Two sweeps on known surfaces: B is A with tokens and parameters that count as if m times the compute
had been spent (m from 1 to 3), or with another exponent, so that its worth grows with compute. Of
either approach: the share of intervals at the largest compute of both that hold the true
multiplier, of intervals of the trend, and the share of tests that call m = 1 a difference.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from analysis.data.readers import from_frame
from analysis.fits.surface import Surface
from analysis.studies.fit_config import FitConfig
from analysis.studies.multiplier.frontier import flops_for, of_surface
from analysis.studies.multiplier.multiplier import multipliers
from analysis.studies.study import Study, run_study
from benchmarks.designs import LOPSIDED, SEEDS, SMALL

CONFIG = FitConfig(approaches=["isoflop", "parametric"], n_resamples=400)


@dataclass(frozen=True)
class Pair:
    """Two sweeps of the same grid on surfaces of their own."""

    name: str
    first: Surface
    second: Surface
    budgets: np.ndarray
    widths: np.ndarray
    seeds: int
    noise: float

    def study(self, surface: Surface, rng: np.random.Generator) -> Study:
        """One side's runs with noise of their own, fitted."""
        best = np.asarray(self.first.optimal(self.budgets).n_params)
        n = np.repeat((best[:, None] * self.widths).ravel(), self.seeds)
        budget = np.repeat(np.repeat(self.budgets, len(self.widths)), self.seeds)
        loss = surface.loss(n, budget / (6 * n)) * np.exp(rng.normal(0, self.noise, len(n)))
        seed = np.tile(np.arange(self.seeds), len(n) // self.seeds)
        columns = {"n_params": n, "n_tokens": budget / (6 * n), "flops": budget, "loss": loss}
        return run_study(_table({**columns, "flops_budget": budget, "seed": seed}), CONFIG)

    def truth(self, flops: float) -> float:
        """The true multiplier at an amount of the first's compute."""
        a, b = (of_surface(surface, self.budgets[0], 1) for surface in (self.first, self.second))
        return flops / float(flops_for(b, a(flops)))


def worth(surface: Surface, m: float) -> Surface:
    """The surface on which parameters and tokens count sqrt(m) times: m times the compute."""
    a, b = (m ** (-0.5 * exponent) for exponent in (surface.alpha, surface.beta))
    return replace(surface, A=surface.A * a, B=surface.B * b)


def _table(columns: dict[str, np.ndarray]):
    import pandas as pd

    return from_frame(pd.DataFrame(columns), "simulated")


SMALL_GRID = (np.geomspace(2e11, 3.2e12, 4), np.geomspace(0.25, 4, 6))
LARGE_GRID = (np.geomspace(1e17, 1e20, 5), np.geomspace(0.15, 6, 8))
STEEPER = replace(SMALL, beta=0.41, B=SMALL.B * 2e7**0.01)
PAIRS = (
    Pair("4 x 6, m = 1", SMALL, SMALL, *SMALL_GRID, 1, SEEDS),
    Pair("4 x 6, m = 1.3", SMALL, worth(SMALL, 1.3), *SMALL_GRID, 1, SEEDS),
    Pair("4 x 6, 3 seeds, m = 1.1", SMALL, worth(SMALL, 1.1), *SMALL_GRID, 3, SEEDS),
    Pair("4 x 6, 3 seeds, growing", SMALL, STEEPER, *SMALL_GRID, 3, SEEDS),
    Pair("5 x 8, m = 1", LOPSIDED, LOPSIDED, *LARGE_GRID, 1, 0.004),
    Pair("5 x 8, m = 3", LOPSIDED, worth(LOPSIDED, 3.0), *LARGE_GRID, 1, 0.004),
)


def main(n_replicates: int) -> None:
    """Print coverage, widths and the share of differences that are called for every pair."""
    for pair in PAIRS:
        rng = np.random.default_rng(3)
        seen: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        for _ in range(n_replicates):
            studies = pair.study(pair.first, rng), pair.study(pair.second, rng)
            for made in multipliers(*studies):
                head = made.headline
                if head is None:
                    seen[f"{made.approach}, none"].append((1.0,) * 4)
                    continue
                ends = made.points[0].flops, head.flops
                slope = np.diff(np.log([pair.truth(c) for c in ends]))[0] / np.diff(np.log(ends))[0]
                low, high = head.interval
                seen[made.approach].append((
                    float(low <= pair.truth(head.flops) <= high),
                    float(made.trend_interval[0] <= slope <= made.trend_interval[1]),
                    float(made.differs),
                    high / low,
                ))  # fmt: skip
        print(f"\n{pair.name}, noise {pair.noise}, {n_replicates} replicates")
        for name, rows in seen.items():
            held, trend, differs, width = np.array(rows).T
            print(
                f"  {name:12} of {len(rows):4}: multiplier {np.mean(held):6.1%}, trend "
                f"{np.mean(trend):6.1%}; called different {np.mean(differs):6.1%}; width a factor "
                f"{np.median(width):.3g}",
                flush=True,
            )
