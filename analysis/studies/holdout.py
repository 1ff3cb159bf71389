"""How well each approach, fitted to the smaller budgets, predicts the largest one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.data.run_arrays import FitInput, RunArrays
from analysis.errors import FitError
from analysis.fits.isoflop import IsoflopFit
from analysis.fits.kaplan import fit_frontier
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.approaches.isoflop import IsoflopApproach


@dataclass(frozen=True)
class Prediction:
    """Errors of one law on the held-out runs, as fractions; None where it says nothing of them.

    `rms` and `bias` are of log L over the held-out runs; `best` is log of predicted over observed
    least loss; `n_opt` is the predicted over the measured loss-optimal N of the held-out budget.
    """

    law: str
    rms: float | None
    bias: float | None
    best: float | None
    n_opt: float | None
    reason: str = ""


@dataclass(frozen=True)
class Holdout:
    """The largest budget, held out of every fit: its FLOPs, its runs, and each law's errors.

    Where runs have no budgets (`of_budget` is False) it is those of most compute.
    """

    flops: float
    n_held: int
    n_fitted: int
    predictions: tuple[Prediction, ...]
    of_budget: bool = True

    @property
    def every_run(self) -> Prediction | None:
        """By the first law that predicts every held-out run; None where none does."""
        return next((p for p in self.predictions if p.rms is not None), None)

    @property
    def rms(self) -> float | None:
        """Of `every_run`."""
        return self.every_run.rms if self.every_run else None


def leave_largest_out(data: FitInput, fits: Mapping[str, FittedApproach]) -> Holdout:
    """Refit every approach, under its own settings, without the runs of the largest budget.

    Where runs have no budgets, the tenth of largest FLOPs, and at least three runs, is held out.

    Args:
        data: What the approaches were fitted to.
        fits: The approaches, by name.

    Raises:
        FitError: Nothing is left to fit.
    """
    held = _largest(data.runs)
    if not 0 < held.sum() < len(data):
        raise FitError("all runs have one budget; holding it out leaves nothing to fit")
    small, large = data.take(np.flatnonzero(~held)), data.runs.take(np.flatnonzero(held))
    flops = float(np.median(large.flops))
    measured = _measured_optimum(fits, flops)
    # Laws of every run first: their error is the one that a reader looks for.
    ordered = sorted(fits.values(), key=lambda fit: (not fit.decides, fit.surface is None))
    laws: list[tuple[str, Callable[[], Prediction]]] = [
        (fit.name, lambda fit=fit: _of_approach(fit, small, large, measured)) for fit in ordered
    ]
    if any(not fit.decides for fit in ordered):
        laws.append(("L(C) power law", lambda: _of_frontier(small.runs, large)))
    tried = tuple(_tried(name, law) for name, law in laws)
    return Holdout(flops, len(large), len(small), tried, _budgets(data.runs) > 1)


def _tried(name: str, law: Callable[[], Prediction]) -> Prediction:
    try:
        return law()
    except FitError as error:
        return Prediction(name, None, None, None, None, reason=str(error))


def _largest(runs: RunArrays) -> np.ndarray:
    if _budgets(runs) > 1:
        return runs.budget == np.nanmax(runs.budget)
    order = np.argsort(runs.flops)
    held = np.zeros(len(runs), bool)
    held[order[-max(3, len(runs) // 10) :]] = True
    return held


def _budgets(runs: RunArrays) -> int:
    return len(np.unique(runs.budget[np.isfinite(runs.budget)]))


def _measured_optimum(fits: Mapping[str, FittedApproach], flops: float) -> float | None:
    """N at the minimum of the held-out budget's own profile, fitted among all others."""
    found = [fit.fit for fit in fits.values() if isinstance(fit, IsoflopApproach)]
    return _minimum_near(found[0], flops) if found else None


def _minimum_near(fit: IsoflopFit, flops: float) -> float | None:
    nearest = min(fit.profiles, key=lambda profile: abs(np.log(profile.flops / flops)))
    close = abs(np.log(nearest.flops / flops)) < 0.1
    return nearest.n_opt if close and nearest.bracketed else None


def _of_approach(
    fit: FittedApproach, small: FitInput, large: RunArrays, measured: float | None
) -> Prediction:
    before = fit.refit(small)
    if not before.usable:
        raise FitError(f"without the largest budget the fit is {before.status}: {before.reason}")
    best = before.optimal(float(np.median(large.flops)))
    n_opt = float(best.n_params) / measured if measured else None
    if before.surface is not None:
        error = np.log(before.surface.loss(large.n_params, large.n_tokens) / large.loss)
        rms, bias = float(np.sqrt(np.mean(error**2))), float(np.mean(error))
        return Prediction(fit.name, rms, bias, float(error[large.loss.argmin()]), n_opt)
    loss = float(np.log(float(best.loss) / large.loss.min()))
    least = loss if np.isfinite(loss) else None
    if n_opt is None and least is None:
        raise FitError("the held-out budget has no bracketed minimum")
    return Prediction(fit.name, None, None, least, n_opt)


def _of_frontier(small: RunArrays, large: RunArrays) -> Prediction:
    law = fit_frontier(small.flops, small.loss)
    best = int(large.loss.argmin())
    error = float(np.log(law(large.flops[best]) / large.loss[best]))
    return Prediction("L(C) power law", None, None, error, None)
