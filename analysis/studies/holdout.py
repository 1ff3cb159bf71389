"""How well a law fitted to the smaller budgets foretells the largest one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.data.run_arrays import Counted
from analysis.errors import FitError
from analysis.fits.isoflop import IsoflopFit, fit_isoflop
from analysis.fits.kaplan import fit_frontier, fit_joint
from analysis.fits.parametric.fit import fit_parametric


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
    """The largest budget, held out of every fit: its FLOPs, its runs, and each law's errors."""

    flops: float
    n_held: int
    n_fitted: int
    predictions: tuple[Prediction, ...]


def leave_largest_out(runs: Counted, curve: str, delta: float) -> Holdout:
    """Fit every law without the runs of the largest budget and predict them.

    Where runs have no budgets, the tenth of largest FLOPs, and at least three runs, is held out.

    Raises:  FitError: nothing is left to fit.
    """
    held = _largest(runs)
    if not 0 < held.sum() < len(runs):
        raise FitError("all runs have one budget; holding it out leaves nothing to fit")
    small, large = runs.take(np.flatnonzero(~held)), runs.take(np.flatnonzero(held))
    flops = float(np.median(large.flops))
    measured = _measured_optimum(runs, flops, curve)
    laws: list[tuple[str, Callable[[], Prediction]]] = [
        (
            "parametric",
            lambda: _of_surface("parametric", _parametric(small, delta), large, measured),
        ),
        ("kaplan", lambda: _of_surface("kaplan", _kaplan(small, delta), large, measured)),
        ("isoflop", lambda: _of_isoflop(small, large, curve, measured)),
        ("L(C) power law", lambda: _of_frontier(small, large)),
    ]
    return Holdout(flops, len(large), len(small), tuple(_tried(name, law) for name, law in laws))


def _tried(name: str, law: Callable[[], Prediction]) -> Prediction:
    try:
        return law()
    except FitError as error:
        return Prediction(name, None, None, None, None, reason=str(error))


def _largest(runs: Counted) -> np.ndarray:
    budgets = runs.budget[np.isfinite(runs.budget)]
    if len(np.unique(budgets)) > 1:
        return runs.budget == budgets.max()
    order = np.argsort(runs.flops)
    held = np.zeros(len(runs), bool)
    held[order[-max(3, len(runs) // 10) :]] = True
    return held


def _measured_optimum(runs: Counted, flops: float, curve: str) -> float | None:
    """N at the minimum of the held-out budget's own profile, fitted among all others."""
    try:
        fit = _profiles(runs, curve)
    except FitError:
        return None
    nearest = min(fit.profiles, key=lambda profile: abs(np.log(profile.flops / flops)))
    close = abs(np.log(nearest.flops / flops)) < 0.1
    return nearest.n_opt if close and nearest.bracketed else None


def _profiles(runs: Counted, curve: str) -> IsoflopFit:
    rows = np.isfinite(runs.budget)
    used = runs.take(np.flatnonzero(rows))
    return fit_isoflop(used.budget, used.n_params, used.n_tokens, used.loss, curve=curve)


def _parametric(small: Counted, delta: float):
    fit = fit_parametric(small.n_params, small.n_tokens, small.loss, delta=delta, cost=small.cost)
    if not fit.usable:
        raise FitError(f"without the largest budget the fit is {fit.status}: {fit.reason}")
    return fit


def _kaplan(small: Counted, delta: float):
    return fit_joint(
        small.n_params, small.n_tokens, small.loss, delta=max(delta, 1e-6), cost=small.cost
    )


def _of_surface(name: str, fit, large: Counted, measured: float | None) -> Prediction:
    error = np.log(fit.loss(large.n_params, large.n_tokens) / large.loss)
    optimum = float(fit.optimal(float(np.median(large.flops))).n_params)
    return Prediction(
        law=name,
        rms=float(np.sqrt(np.mean(error**2))),
        bias=float(np.mean(error)),
        best=float(error[large.loss.argmin()]),
        n_opt=optimum / measured if measured else None,
    )


def _of_isoflop(small: Counted, large: Counted, curve: str, measured: float | None) -> Prediction:
    fit = _profiles(small, curve)
    if fit.n_law is None or measured is None:
        raise FitError(fit.reason or "the held-out budget has no bracketed minimum")
    predicted = float(fit.n_law(float(np.median(large.flops))))
    return Prediction("isoflop", None, None, None, predicted / measured)


def _of_frontier(small: Counted, large: Counted) -> Prediction:
    law = fit_frontier(small.flops, small.loss)
    best = int(large.loss.argmin())
    error = float(np.log(law(large.flops[best]) / large.loss[best]))
    return Prediction("L(C) power law", None, None, error, None)
