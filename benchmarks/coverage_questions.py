"""How often the intervals of `analysis.studies` hold the truth, on the designs of coverage.py."""

import numpy as np

from analysis.data.cost_law import SIX_ND
from analysis.data.run_arrays import FitInput, RunArrays
from analysis.fits.serving import cheapest_to_serve, size_price
from analysis.fits.surface import Surface
from analysis.stats.resampling import resample_counts
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.serving.serving import FACTORS, Quality, plan_for, price_row

N_RESAMPLES = 400
Judged = dict[str, tuple[float, float]]
"""By interval: 1 where it held the truth, else 0, and its width in logarithms."""


def judged(interval: tuple[float, float], truth: float) -> tuple[float, float]:
    """Whether an interval holds the truth, and its width."""
    low, high = interval
    return float(low <= truth <= high), high - low


def as_runs(runs: tuple[np.ndarray, ...]) -> RunArrays:
    """A design's draw as the runs of a fit."""
    budget, n_params, n_tokens, loss = runs
    return RunArrays("exact", n_params, n_tokens, budget, loss, budget, SIX_ND)


def serving_cover(
    runs: tuple[np.ndarray, ...], surface: Surface, rng: np.random.Generator
) -> Judged:
    """Of `isoflop allocate inference_tokens=`: N, D and total cost of the best model of the largest
    budget and of ten times that, serving ten times its tokens; and the price of other sizes.
    """
    fit = ParametricApproach.fitted(FitInput(as_runs(runs)), FitConfig())
    if fit.status != "converged":
        return {"serving, not converged": (1.0, np.nan)}
    fit = fit.resampled(resample_counts(len(runs[0]), N_RESAMPLES, rng))
    found: Judged = {}
    for factor in (1, 10):
        quality = Quality(flops=float(runs[0].max() * factor))
        served = 10 * float(surface.optimal(quality.flops).n_tokens)
        plan = plan_for(fit, quality, served)
        truth = cheapest_to_serve(surface, quality.of(surface), served)
        for name in ("n_params", "n_tokens", "total_flops"):
            interval = np.log(plan.intervals[name])
            own = float(np.log(getattr(truth, name)))
            found[f"serving, {name} at {factor} x C"] = judged(tuple(interval), own)
    for factor in FACTORS:
        row = price_row(fit, factor)
        own = size_price(surface, factor)
        found[f"price of {factor:g} N_opt"] = judged(row.compute_interval, float(own.compute))
        if factor < 1:
            pays = judged(row.pays_interval, float(own.pays_from))
            found[f"{factor:g} N_opt pays from"] = pays
    return found
