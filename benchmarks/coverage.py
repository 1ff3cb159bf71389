"""How often 95 % intervals hold the truth: simulated sweeps on known surfaces, many times over.

    python -m benchmarks.coverage [n_replicates]

Each replicate draws seed noise on a grid of runs, fits it, and asks of every interval whether the
true value lies inside. docs/method.md states the outcome and the defaults that it led to.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from analysis.bootstrap import percentile_interval, resample_counts, stratified_counts
from analysis.isoflop import fit_isoflop
from analysis.parametric import fit_parametric, refit
from analysis.profile import profile
from analysis.surface import Surface
from analysis.valley_shape import minima

N_RESAMPLES = 400
SEEDS = 0.0065
"""Standard deviation of log L between six seeds of model=d16 at 1e11 FLOPs on stdlib text."""

HOFFMANN = Surface(E=1.8172, A=477.8, B=2143.4, alpha=0.3473, beta=0.3672)
SMALL = Surface(E=0.9, A=25.0, B=140.0, alpha=0.35, beta=0.40)
LOPSIDED = Surface(E=1.7, A=120.0, B=9000.0, alpha=0.28, beta=0.45)


@dataclass(frozen=True)
class Design:
    """A grid of runs about the optimum of a surface, and the noise of seeds on log L.

    `tails` is the share of runs whose noise is five times as large: runs that trained badly.
    """

    name: str
    surface: Surface
    budgets: np.ndarray
    widths: np.ndarray
    seeds: int
    noise: float
    tails: float = 0.0

    def runs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Budget, N, D and noisy L of every run, each (runs,)."""
        best = np.asarray(self.surface.optimal(self.budgets).n_params)
        n_params = np.repeat((best[:, None] * self.widths).ravel(), self.seeds)
        budget = np.repeat(np.repeat(self.budgets, len(self.widths)), self.seeds)
        n_tokens = budget / (6 * n_params)
        scale = np.where(rng.random(len(budget)) < self.tails, 5, 1) * self.noise
        loss = self.surface.loss(n_params, n_tokens) * np.exp(rng.normal(0, scale))
        return budget, n_params, n_tokens, np.asarray(loss)


DESIGNS = (
    Design("demo: 3 budgets x 6 sizes", SMALL, np.geomspace(2e11, 3.2e12, 3),
           np.geomspace(0.25, 4, 6), 1, SEEDS),
    Design("demo, off centre", SMALL, np.geomspace(2e11, 3.2e12, 3),
           np.geomspace(0.5, 8, 6), 1, SEEDS),
    Design("demo, 2 seeds", SMALL, np.geomspace(2e11, 3.2e12, 3),
           np.geomspace(0.25, 4, 6), 2, SEEDS),
    Design("5 budgets x 8 sizes", LOPSIDED, np.geomspace(1e17, 1e20, 5),
           np.geomspace(0.15, 6, 8), 1, 0.004),
    Design("5 x 8, a tenth badly trained", LOPSIDED, np.geomspace(1e17, 1e20, 5),
           np.geomspace(0.15, 6, 8), 1, 0.004, 0.1),
    Design("9 budgets x 25 sizes", HOFFMANN, np.geomspace(6e18, 3e21, 9),
           np.geomspace(0.1, 10, 25), 1, 0.008),
)  # fmt: skip


def isoflop_cover(
    runs: tuple[np.ndarray, ...], surface: Surface, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """For each interval of approach 2: does it hold the truth, and its width.

    Of the exponent, and of log N_opt at the largest budget that ran.
    """
    found: dict[str, tuple[float, float]] = {}
    top = runs[0].max()
    best = float(np.log(surface.optimal(top).n_params))
    for curve in ("skewed", "parabola", "cubic"):
        fit = fit_isoflop(*runs, curve=curve)
        if fit.n_law is None:
            continue
        name = f"isoflop {curve}"
        low, high = np.log(fit.n_law.band(np.array([top])))
        found[f"{name}, a, errors of minima"] = _judged(fit.n_law.interval(), float(surface.a))
        if curve != "skewed":
            found[f"{name}, a, pairs bootstrap"] = _judged(_pairs(fit, rng), float(surface.a))
        found[f"{name}, log N_opt, errors of minima"] = _judged((low[0], high[0]), best)
    return found


def _pairs(fit, rng: np.random.Generator) -> tuple[float, float]:
    kept = [valley for valley in fit.valleys if valley.bracketed]
    log_c = np.log([valley.flops for valley in kept])
    weight = np.array([1 / valley.sigma**2 for valley in kept])
    positions = []
    for valley in kept:
        x = np.log(valley.n_params)
        counts = stratified_counts(np.zeros(len(x)), N_RESAMPLES, rng)
        degree = 3 if valley.curve == "cubic" else 2
        positions.append(minima(x - x.mean(), valley.losses, counts, degree)[0] + x.mean())
    centred = log_c - np.average(log_c, weights=weight)
    draws = (weight * centred) @ np.array(positions) / np.sum(weight * centred**2)
    return percentile_interval(draws)


def parametric_cover(
    runs: tuple[np.ndarray, ...], surface: Surface, rng: np.random.Generator
) -> dict:
    """The same for approach 3: bootstrap over runs and profile likelihood, of E, alpha and a."""
    _, n_params, n_tokens, loss = runs
    found = {}
    for delta in (1e-3, 1e-2):
        fit = fit_parametric(n_params, n_tokens, loss, delta=delta)
        if fit.status != "converged":
            found[f"parametric delta {delta:g}, not converged"] = (1.0, np.nan)
            continue
        theta = refit(fit, resample_counts(len(loss), N_RESAMPLES, rng))
        draws = fit.problem.surface(theta)
        for name in ("E", "alpha", "a"):
            truth = float(getattr(surface, name))
            bootstrap = percentile_interval(np.asarray(getattr(draws, name)))
            found[f"parametric delta {delta:g}, {name}, bootstrap"] = _judged(bootstrap, truth)
            likelihood = profile(fit, name).interval
            found[f"parametric delta {delta:g}, {name}, profile"] = _judged(likelihood, truth)
    return found


def _judged(interval: tuple[float, float], truth: float) -> tuple[float, float]:
    low, high = interval
    return float(low <= truth <= high), high - low


def main(n_replicates: int) -> None:
    """Print coverage and median width of every interval on every design."""
    for design in DESIGNS:
        rng = np.random.default_rng(1)
        seen = defaultdict(list)
        for _ in range(n_replicates):
            runs = design.runs(rng)
            held = isoflop_cover(runs, design.surface, rng)
            held |= parametric_cover(runs, design.surface, rng)
            for name, judged in held.items():
                seen[name].append(judged)
        print(f"\n{design.name}, noise {design.noise}, {n_replicates} replicates")
        for name, judged in seen.items():
            cover, width = np.array(judged).T
            share = f"{np.mean(cover):6.1%} of {len(cover):4}"
            print(f"  {name:48} {share}  width {np.nanmedian(width):.3g}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
