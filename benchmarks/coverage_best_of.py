"""How often intervals hold the truth where each run is the best of a sweep over settings.

    python -m benchmarks.coverage_best_of [n_replicates]

Cells of N and D on Besiroglu et al.'s surface, each run at 5 x 8 learning rates and batch sizes
about an optimum that moves with N and D; the loss rises as a parabola in the logarithm of either.
"""

import sys
from collections import defaultdict

import numpy as np
import pandas as pd

from analysis.data.loss_table import select
from analysis.data.readers import from_frame
from analysis.fits.surface import Surface
from analysis.stats.resampling import percentile_interval, resample_counts
from analysis.studies.approaches.best_of_cells import with_best_of
from analysis.studies.approaches.fit_all import fit_input
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.bootstrap import parametric_draws
from analysis.studies.fit_config import FitConfig

SURFACE = Surface(1.8172, 477.8, 2143.4, 0.3473, 0.3672)
N_RESAMPLES = 200


def sweep(noise: float, rng: np.random.Generator, steepness: float = 0.004) -> pd.DataFrame:
    """Runs of 5 sizes x 4 token counts x 5 rates x 8 batch sizes."""
    grids = np.meshgrid(
        np.geomspace(1e8, 2e9, 5), np.geomspace(4e9, 1e11, 4), np.geomspace(2e-4, 6e-3, 5),
        np.geomspace(6e4, 8e6, 8), indexing="ij",
    )  # fmt: skip
    n_params, n_tokens, rate, batch = (grid.ravel() for grid in grids)
    from_rate = np.log(rate / (1.79 * n_params**-0.713 * n_tokens**0.307))
    from_batch = np.log(batch / (0.58 * n_tokens**0.571))
    response = steepness * (from_rate**2 + 0.5 * from_batch**2)
    loss = np.asarray(SURFACE.loss(n_params, n_tokens)) * np.exp(
        response + noise * rng.standard_normal(len(rate))
    )
    return pd.DataFrame({"n_params": n_params, "n_tokens": n_tokens, "lr": rate, "bs": batch,
                         "loss": loss})  # fmt: skip


def covered(noise: float, rng: np.random.Generator) -> dict[str, bool]:
    """By quantity, and whether the luck of the best is taken out: does the interval hold the
    truth.
    """
    config = FitConfig(approaches=["parametric"], n_resamples=N_RESAMPLES)
    table = select(from_frame(sweep(noise, rng), "simulated"))
    _, data = with_best_of(table, fit_input(table, "exact", config), config)
    fit = ParametricApproach.fitted(data, config).fit
    weights = resample_counts(len(data), N_RESAMPLES, rng)
    truth = {"a": SURFACE.a, "E": SURFACE.E, "loss at the centre": SURFACE.loss(4.5e8, 2e10)}
    found = {}
    for how, known in (("as a run", None), ("as the best", data.best_of)):
        draws = parametric_draws(fit, weights, known)
        drawn = {"a": draws.a, "E": draws.E, "loss at the centre": draws.loss(4.5e8, 2e10)}
        for name, values in drawn.items():
            low, high = percentile_interval(np.asarray(values))
            found[f"{name}, {how}"] = bool(low <= truth[name] <= high)
    return found


def main(n_replicates: int) -> None:
    """Print coverages in percent by noise."""
    for noise in (0.0014, 0.005, 0.02):
        rng, held = np.random.default_rng(0), defaultdict(list)
        for _ in range(n_replicates):
            for name, inside in covered(noise, rng).items():
                held[name].append(inside)
        shown = "; ".join(f"{name} {100 * np.mean(inside):.0f} %" for name, inside in held.items())
        print(f"noise {noise:g}: {shown}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
