"""Forms of the loss by name, each fitted to runs under one objective."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError, Numbers
from analysis.fits.forms import models
from analysis.fits.forms.solver import Model, search
from analysis.fits.input_checks import undetermined
from analysis.fits.parametric.fit import fit_parametric
from analysis.fits.parametric.huber import LogRuns, Penalty

Law = Callable[[Numbers, Numbers], Numbers]
"""(N, D) -> predicted loss."""


@dataclass(frozen=True)
class Form:
    """A form of the loss: its parameters in number and how it is fitted."""

    name: str
    formula: str
    n_free: int
    fit: Callable[[LogRuns, Penalty], Law]


OBJECTIVES = {
    "Huber, log": Penalty(1e-3, residual="log"),
    "squared, log": Penalty(np.inf, residual="log"),
    "Huber, loss": Penalty(3e-3, residual="loss"),
    "squared, loss": Penalty(np.inf, residual="loss"),
}
"""Width 1e-3 of log L is about 3e-3 nats at the losses of language models."""


def fit_form(
    form: Form, n_params: np.ndarray, n_tokens: np.ndarray, loss: np.ndarray, penalty: Penalty
) -> Law:
    """One form fitted to runs, (runs,) each.

    Raises:
        FitError: Fewer runs than parameters, or runs that determine no surface.
    """
    if len(loss) < form.n_free:
        raise FitError(f"{len(loss)} runs can't determine {form.n_free} parameters")
    reason = undetermined(n_params, n_tokens, np.ones(len(loss)), {})
    if reason:
        raise FitError(reason)
    return form.fit(LogRuns.of(n_params, n_tokens, loss), penalty)


def _additive(runs: LogRuns, penalty: Penalty, tied: bool = False) -> Law:
    fit = fit_parametric(
        np.exp(runs.u + runs.u_mean), np.exp(runs.v + runs.v_mean), runs.loss,
        delta=penalty.delta, residual=penalty.residual, tied=tied,
    )  # fmt: skip
    if not fit.usable:
        raise FitError(f"the fit is {fit.status}: {fit.reason}")
    return fit.surface.loss


def _from_additive(runs: LogRuns, penalty: Penalty) -> np.ndarray:
    fit = fit_parametric(
        np.exp(runs.u + runs.u_mean), np.exp(runs.v + runs.v_mean), runs.loss,
        delta=penalty.delta, residual=penalty.residual,
    )  # fmt: skip
    if not np.isfinite(fit.E) or fit.E <= 0:
        raise FitError(f"the additive form, from which it starts, is {fit.status}: {fit.reason}")
    return fit.theta


def _interaction(runs: LogRuns, penalty: Penalty) -> Law:
    near = _from_additive(runs, penalty)
    starts = np.array([[*near, f] for f in (0.0, 0.3, 1.0, 3.0)])
    lower, upper = _box(runs)
    return _law(models.interaction, runs, starts, ([*lower, 0.0], [*upper, 20.0]), penalty)


def _broken(runs: LogRuns, penalty: Penalty) -> Law:
    near = _from_additive(runs, penalty)
    reducible = np.log(np.exp(near[1] - near[3] * runs.u) + np.exp(near[2] - near[4] * runs.v))
    breaks = np.quantile(reducible, [0.25, 0.5, 0.75])
    starts = np.array([[*near, c, at] for c in (-0.2, 0.2) for at in breaks])
    lower, upper = _box(runs)
    # Outside of the runs a break would be a free parameter that no run speaks of.
    ends = np.quantile(reducible, [0.1, 0.9])
    box = ([*lower, -0.8, ends[0]], [*upper, 2.0, ends[1]])
    return _law(models.broken, runs, starts, box, penalty)


def _kaplan(runs: LogRuns, penalty: Penalty) -> Law:
    level = float(runs.y.mean())
    starts = np.array([
        [level / alpha - np.log(2), level / alpha - np.log(2), p, np.log(alpha)]
        for p in (0.3, 0.7, 1.2, 2.0)
        for alpha in (0.05, 0.15, 0.4)
    ])  # fmt: skip
    box = ([-500.0, -500.0, 0.01, -7.0], [500.0, 500.0, 20.0, 2.0])
    return _law(models.kaplan, runs, starts, box, penalty)


def _box(runs: LogRuns) -> tuple[list[float], list[float]]:
    low, high = float(runs.y.min()), float(runs.y.max())
    return (
        [low - np.log(1e4), low - np.log(1e6), low - np.log(1e6), 0.01, 0.01],
        [high, low + np.log(1e6), low + np.log(1e6), 5.0, 5.0],
    )


def _law(
    model: Model, runs: LogRuns, starts: np.ndarray, box: tuple[list, list], penalty: Penalty
) -> Law:
    ends = search(model, runs, starts, (np.array(box[0]), np.array(box[1])), penalty)

    def loss(n_params: Numbers, n_tokens: Numbers) -> Numbers:
        u, v = np.broadcast_arrays(np.log(n_params) - runs.u_mean, np.log(n_tokens) - runs.v_mean)
        return np.exp(model(ends.theta[None], u.ravel(), v.ravel())[0][0]).reshape(u.shape)

    return loss


FORMS = (
    Form("additive", "E + A/N^alpha + B/D^beta", 5, _additive),
    Form("tied", "the same with alpha = beta", 4, lambda r, p: _additive(r, p, tied=True)),
    Form("interaction", "E + X + Y + f X Y/E", 6, _interaction),
    Form("kaplan", "[(N_c/N)^p + D_c/D]^alpha_D", 4, _kaplan),
    Form("broken", "E + R, one break in R = X + Y", 7, _broken),
)
"""X = A/N^alpha, Y = B/D^beta. The data-constrained law joins where runs repeat data."""
