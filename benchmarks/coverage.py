"""How often 95 % intervals hold the truth: simulated sweeps on known surfaces, many times over.

    python -m benchmarks.coverage [n_replicates] [envelope | isoflop | least_loss | ...]
    python -m benchmarks.coverage [n_replicates] profiles [quick]
    python -m benchmarks.coverage [n_replicates] multiplier

Each replicate draws seed noise on a grid of runs, fits it, and asks of every interval whether the
true value lies inside. docs/method.md states the outcome and the defaults that it led to. Laws of
Kaplan et al. are judged on designs whose losses follow their own joint law too; `profiles` judges
approach 2 on surfaces of another form as well (benchmarks/coverage_profiles.py).
"""

import sys
from collections import defaultdict

import numpy as np

from analysis.data.cost_law import SIX_ND
from analysis.data.run_arrays import Curves, FitInput, RunArrays
from analysis.errors import FitError
from analysis.fits.envelope import fit_envelope
from analysis.fits.isoflop import fit_isoflop
from analysis.fits.isoflop_polynomials import minima
from analysis.fits.kaplan import KaplanJoint, fit_frontier, fit_joint
from analysis.fits.min_loss import envelope_loss_law, isoflop_loss_draws, isoflop_loss_law
from analysis.fits.min_loss_law import LossLaw, refit_loss_law
from analysis.fits.parametric.fit import fit_parametric, refit
from analysis.fits.parametric.profile_likelihood import profile
from analysis.fits.surface import Surface
from analysis.stats.resampling import percentile_interval, resample_counts, stratified_counts
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.bootstrap import (
    envelope_draws,
    exponent_intervals,
    kaplan_draws,
    kaplan_intervals,
)
from analysis.studies.fit_config import FitConfig
from analysis.studies.questions.prediction import Point, interval_with_noise, run_noise
from benchmarks import coverage_multiplier, coverage_profiles
from benchmarks.coverage_questions import serving_cover
from benchmarks.designs import DESIGNS

N_RESAMPLES = 400
UNDECAYED = 0.06
"""Excess of log loss early in a cosine run over a run that ends there, shrinking in proportion to
what is left of it: about .045 at a quarter and .03 at half of the demo's runs."""


def isoflop_cover(
    runs: tuple[np.ndarray, ...], surface: Surface, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """For each interval of approach 2: does it hold the truth, and its width.

    Of the exponent, and of log N_opt at the largest budget that ran.
    """
    found: dict[str, tuple[float, float]] = {}
    top = runs[0].max()
    best = float(np.log(surface.optimal(top).n_params))
    for curve in ("softened", "skewed", "parabola", "cubic"):
        fit = fit_isoflop(*runs, curve=curve)
        if fit.n_law is None:
            continue
        name = f"isoflop {curve}"
        low, high = np.log(fit.n_law.band(np.array([top])))
        found[f"{name}, a, errors of minima"] = _judged(fit.n_law.interval(), float(surface.a))
        if curve in ("parabola", "cubic"):
            found[f"{name}, a, pairs bootstrap"] = _judged(_pairs(fit, rng), float(surface.a))
        found[f"{name}, log N_opt, errors of minima"] = _judged((low[0], high[0]), best)
    return found


def _pairs(fit, rng: np.random.Generator) -> tuple[float, float]:
    kept = fit.bracketed
    log_c = np.log([one.flops for one in kept])
    weight = np.array([1 / one.sigma**2 for one in kept])
    positions = []
    for one in kept:
        x = np.log(one.n_params)
        counts = stratified_counts(np.zeros(len(x)), N_RESAMPLES, rng)
        degree = 3 if one.curve == "cubic" else 2
        positions.append(minima(x - x.mean(), one.losses, counts, degree)[0] + x.mean())
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


def prediction_cover(
    runs: tuple[np.ndarray, ...], surface: Surface, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Of `isoflop predict`, at the optimum of the largest budget, of 10 and of 100 times that: the
    law's loss by its interval, and another run's by the interval of a run.
    """
    budget, n_params, n_tokens, loss = runs
    columns = RunArrays("exact", n_params, n_tokens, budget, loss, budget, SIX_ND)
    fit = ParametricApproach.fitted(FitInput(columns), FitConfig())
    if fit.status != "converged":
        return {"prediction, not converged": (1.0, np.nan)}
    fit = fit.resampled(resample_counts(len(loss), N_RESAMPLES, rng))
    noise, found = run_noise(fit)[0], {}
    for factor in (1, 10, 100):
        best = surface.optimal(budget.max() * factor)
        point = Point(float(best.n_params), float(best.n_tokens))
        truth = float(best.loss)
        own = truth * float(np.exp(rng.normal(0, _noise(runs, surface))))
        law = fit.loss(point.n_params, point.n_tokens)[1]
        one = interval_with_noise(fit, point, noise, int(rng.integers(1 << 30)))
        found[f"loss at {factor} x C, of the law"] = _judged(law, truth)
        found[f"loss at {factor} x C, of a run"] = _judged(one, own)
    return found


def _noise(runs: tuple[np.ndarray, ...], surface: Surface) -> float:
    """Rms of what the seeds of a simulated sweep did to log L."""
    _, n_params, n_tokens, loss = runs
    return float(np.sqrt(np.mean(np.log(loss / surface.loss(n_params, n_tokens)) ** 2)))


def envelope_cover(
    runs: tuple[np.ndarray, ...], surface: Surface, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """The bootstrap over runs of approach 1: its exponents, and the loss that it predicts.

    Curves of a schedule that never decays lie on the surface; a cosine's lie above it until the
    end.
    """
    found: dict[str, tuple[float, float]] = {}
    top = runs[0].max()
    for schedule, excess in (("undecayed", 0.0), ("cosine", UNDECAYED)):
        curves = _curves(runs, surface, excess)
        fit = fit_envelope(curves)
        counts = resample_counts(len(runs[0]), N_RESAMPLES, rng)
        draws = envelope_draws(curves, counts, "bins")
        for name, interval in exponent_intervals(draws).items():
            truth = float(getattr(surface, name))
            found[f"envelope {schedule}, {name}, bootstrap"] = _judged(interval, truth)
        try:
            law = envelope_loss_law(fit, runs[1])
        except FitError:
            found[f"envelope {schedule}, too few sizes for a law of its loss"] = (1.0, np.nan)
            continue
        redone = refit_loss_law(law, draws.flops, draws.loss)
        found |= _loss_judged(f"envelope {schedule}", redone, surface, top)
    return found


def _curves(runs: tuple[np.ndarray, ...], surface: Surface, excess: float) -> Curves:
    """Twenty losses along each run, which share the seed's noise of its end."""
    _, n_params, n_tokens, loss = runs
    share = np.linspace(0.05, 1, 20)
    along = n_tokens[:, None] * share
    shaken = (loss / surface.loss(n_params, n_tokens))[:, None] * np.exp(excess * (1 - share))
    return Curves(
        run=np.repeat(np.arange(len(loss)), 20),
        n_params=np.repeat(n_params, 20),
        n_tokens=along.ravel(),
        flops=(6 * n_params[:, None] * along).ravel(),
        loss=(np.asarray(surface.loss(n_params[:, None], along)) * shaken).ravel(),
    )


def least_loss_cover(
    runs: tuple[np.ndarray, ...], surface: Surface, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """The law of the minima's losses of approach 2: its irreducible loss and what it predicts."""
    fit = fit_isoflop(*runs)
    try:
        law = isoflop_loss_law(fit)
        draws = isoflop_loss_draws(law, fit, N_RESAMPLES, rng)
    except FitError:
        return {"isoflop, too few minima for a law of their loss": (1.0, np.nan)}
    kind = "isoflop" if law.n_points > 3 else "isoflop (power law)"
    return _loss_judged(kind, draws, surface, runs[0].max())


def _loss_judged(
    name: str, draws: LossLaw, surface: Surface, top: float
) -> dict[str, tuple[float, float]]:
    """E, and the log of the least loss at the largest budget and ten times beyond."""
    found = {}
    for factor in (1, 10):
        truth = float(np.log(surface.optimal(factor * top).loss))
        with np.errstate(invalid="ignore"):
            drawn = np.log(np.ravel(draws(factor * top)))
        found[f"{name}, log loss at {factor} C"] = _judged(percentile_interval(drawn), truth)
    if isinstance(surface, Surface) and draws.n_points > 3:
        found[f"{name}, E"] = _judged(percentile_interval(np.ravel(draws.E)), float(surface.E))
    return found


def kaplan_cover(
    runs: tuple[np.ndarray, ...], surface: Surface | KaplanJoint, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """The joint law's bootstrap over runs and the frontier laws' Student intervals."""
    budget, n_params, n_tokens, loss = runs
    joint = fit_joint(n_params, n_tokens, loss)
    if joint.status != "converged":
        return {f"kaplan, {joint.status}": (1.0, np.nan)}
    counted = RunArrays("6nd", n_params, n_tokens, budget, loss, budget, SIX_ND)
    counts = resample_counts(len(loss), N_RESAMPLES, rng)
    draws = kaplan_draws(joint, counted, counts, 1e-3)
    intervals = kaplan_intervals(draws)
    names = ("alpha_N", "alpha_D", "a") if isinstance(surface, KaplanJoint) else ("a",)
    found = {
        f"kaplan joint, {name}, bootstrap": _judged(intervals[name], float(getattr(surface, name)))
        for name in names
    }
    if isinstance(surface, KaplanJoint):
        exponents = {
            "N": (n_params, float(surface.alpha_N)),
            "D": (n_tokens, float(surface.alpha_D)),
            "C": (budget, float(surface.alpha_N * surface.a)),
        }
        for name, (x, truth) in exponents.items():
            found |= _frontier_judged(name, x, loss, truth)
    return found


def _frontier_judged(
    name: str, x: np.ndarray, loss: np.ndarray, truth: float
) -> dict[str, tuple[float, float]]:
    try:
        low, high = fit_frontier(x, loss).interval()
    except FitError:
        return {f"kaplan L({name}), too few runs on the frontier": (1.0, np.nan)}
    return {f"kaplan L({name}), exponent, Student's t": _judged((-high, -low), truth)}


def _judged(interval: tuple[float, float], truth: float) -> tuple[float, float]:
    low, high = interval
    return float(low <= truth <= high), high - low


COVERS = {
    "envelope": envelope_cover,
    "isoflop": isoflop_cover,
    "least_loss": least_loss_cover,
    "parametric": parametric_cover,
    "kaplan": kaplan_cover,
    "prediction": prediction_cover,
    "serving": serving_cover,
}


def main(n_replicates: int, approaches: list[str]) -> None:
    """Print coverage and median width of every interval on every design."""
    covers = [COVERS[approach] for approach in approaches]
    for design in DESIGNS:
        rng = np.random.default_rng(1)
        seen = defaultdict(list)
        # The other approaches state the truth of the surface L = E + A/N^alpha + B/D^beta.
        own = [c for c in covers if c is kaplan_cover or isinstance(design.surface, Surface)]
        for _ in range(n_replicates if own else 0):
            runs = design.runs(rng)
            held = {}
            for cover in own:
                held |= cover(runs, design.surface, rng)
            for name, judged in held.items():
                seen[name].append(judged)
        print(f"\n{design.name}, noise {design.noise}, {n_replicates} replicates")
        for name, judged in seen.items():
            cover, width = np.array(judged).T
            share = f"{np.mean(cover):6.1%} of {len(cover):4}"
            print(f"  {name:48} {share}  width {np.nanmedian(width):.3g}", flush=True)


if __name__ == "__main__":
    numbers = [argument for argument in sys.argv[1:] if argument.isdigit()]
    asked = [argument for argument in sys.argv[1:] if argument in COVERS]
    if "multiplier" in sys.argv:
        coverage_multiplier.main(int(numbers[0]) if numbers else 200)
    elif "profiles" in sys.argv:
        quick = "quick" in sys.argv
        coverage_profiles.main(int(numbers[0]) if numbers else (20 if quick else 100), quick)
    else:
        main(int(numbers[0]) if numbers else 300, asked or list(COVERS))
