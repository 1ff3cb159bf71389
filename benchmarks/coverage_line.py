"""How often intervals of laws from minima alone hold the truth.

    python -m benchmarks.coverage_line [n_replicates]

Lines D = r N on known surfaces, asked for the loss at the largest run and at ten times its
compute; and tables of optima with losses, asked for their exponents and E.
"""

import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from analysis.fits.surface import Surface
from analysis.studies.minima.line import fit_losses
from analysis.studies.minima.optima import fit_optima
from benchmarks.designs import HOFFMANN, LOPSIDED, SEEDS, SMALL

LINES = (
    ("8 runs, D = 20 N", HOFFMANN, (1e8, 1e10), 8, 20.0, 0.004),
    ("20 runs, D = 20 N", HOFFMANN, (1e8, 1e10), 20, 20.0, 0.004),
    ("8 small runs, D = 40 N", SMALL, (1e4, 1e6), 8, 40.0, SEEDS),
    ("16 small runs, D = 40 N", SMALL, (1e4, 1e6), 16, 40.0, SEEDS),
    ("10 runs, exponents .28 and .45", LOPSIDED, (1e8, 1e10), 10, 20.0, 0.004),
)
"""Name, surface, sizes, runs, tokens per parameter, noise of log loss."""


def line(
    surface: Surface, ends: tuple[float, float], n_runs: int, ratio: float, noise: float,
    rng: np.random.Generator,
) -> dict[str, bool]:  # fmt: skip
    """Of one drawn line: do the intervals hold the truth."""
    n = np.geomspace(*ends, n_runs)
    flops = 6 * ratio * n**2
    loss = np.asarray(surface.loss(n, ratio * n)) * np.exp(noise * rng.normal(size=n_runs))
    made, found = fit_losses(flops, loss, int(rng.integers(1 << 30))), {}
    for factor in (1, 10):
        low, high = made.loss(float(flops.max()) * factor)[1]
        size = n[-1] * factor**0.5
        found[f"loss at {factor} x C"] = low <= float(surface.loss(size, ratio * size)) <= high
    E, (low, high) = made.irreducible_loss
    return found | ({"E (not printed)": low <= float(surface.E) <= high} if np.isfinite(E) else {})


def optima(surface: Surface, rng: np.random.Generator) -> dict[str, bool]:
    """Of one table of seven optima, N off by 10 % and losses by .3 %."""
    flops = np.geomspace(1e17, 1e21, 7)
    best = surface.optimal(flops)
    n = best.n_params * np.exp(0.1 * rng.normal(size=7))
    loss = best.loss * np.exp(0.003 * rng.normal(size=7))
    made = fit_optima(flops, n, flops / (6 * n), loss)
    truth = {"a": float(surface.a), "b": float(surface.b)}
    laws = {"a": made.n_law, "b": made.d_law}
    found = {f"optima, {k}": law.interval()[0] <= truth[k] <= law.interval()[1]
             for k, law in laws.items()}  # fmt: skip
    for factor in (1, 10):
        at = float(flops.max()) * factor
        advice = made.optimal(at)
        low, high = advice.n_interval
        own = float(surface.optimal(at).n_params)
        found[f"optima, N_opt at {factor} x C"] = low <= own <= high
    assert made.loss is not None
    E, (low, high) = made.loss.irreducible_loss
    if np.isfinite(E):
        found["optima, E"] = low <= float(surface.E) <= high
        low, high = made.loss.exponent[1]
        found["optima, g"] = low <= float(surface.alpha * surface.a) <= high
    return found


def main(n_replicates: int) -> None:
    """Print coverage of every interval."""
    jobs: list[tuple[str, Callable[[np.random.Generator], dict[str, bool]]]] = [
        (name, partial(line, surface, ends, n_runs, ratio, noise))
        for name, surface, ends, n_runs, ratio, noise in LINES
    ]
    for name, surface in (("HOFFMANN", HOFFMANN), ("LOPSIDED", LOPSIDED)):
        jobs.append((f"7 optima on {name}", partial(optima, surface)))
    for name, draw in jobs:
        rng, seen = np.random.default_rng(1), {}
        for _ in range(n_replicates):
            for key, held in draw(rng).items():
                seen.setdefault(key, []).append(held)
        print(f"\n{name}, {n_replicates} replicates")
        for key, held in seen.items():
            print(f"  {key:26} {np.mean(held):6.1%} of {len(held):4}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 150)
