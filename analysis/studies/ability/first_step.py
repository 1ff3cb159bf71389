"""The first step: a law of a task's loss (or error rate) in N and D, or in N where D is one."""

from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError
from analysis.fits.min_loss_law import LossLaw, fit_loss_law, refit_loss_law
from analysis.fits.parametric.fit import ParametricFit, fit_parametric, refit
from analysis.fits.surface import Surface
from analysis.studies.ability.points import AbilityPoints
from analysis.studies.allocation import NEAR
from analysis.studies.approaches.objections import MOST_SCATTER

NONE = 1e-9
"""An error rate that stands for none at all, where the law of errors shows no lower end."""


@dataclass(frozen=True, eq=False)
class FirstStep:
    """A law of some values at points, L(N, D) or L(N) at the one D that was trained.

    Attributes:
        points: The points, `values` what the law is of, (points,).
        surface: The law; without a term in D where `tokens` is the only D of the points.
        tokens: That D; NaN where D varies.
        sd: Scatter of log values about the law, corrected for its parameters.
        doubt: Why nothing may be predicted, empty where it may.
    """

    points: AbilityPoints
    values: np.ndarray
    surface: Surface
    fit: ParametricFit | LossLaw
    tokens: float
    sd: float
    doubt: str

    def loss(self, n_params: float, n_tokens: float) -> float:
        """The law's value for one run.

        Raises:
            FitError: The points have one D, which is another.
        """
        if np.isfinite(self.tokens) and max(n_tokens / self.tokens, self.tokens / n_tokens) > NEAR:
            raise FitError(
                f"all points were trained on {self.tokens:.4g} tokens; how the loss depends on "
                f"them is not known: train at two more token counts"
            )
        return float(self.surface.loss(n_params, n_tokens))

    def draws(self, weights: np.ndarray) -> Surface:
        """The law of resamples, weights (draws, points), as one surface of arrays."""
        if isinstance(self.fit, ParametricFit):
            return self.fit.problem.surface(refit(self.fit, weights))
        rows = np.stack([np.repeat(np.arange(len(w)), w.astype(int)) for w in _even(weights)])
        return _of_size(refit_loss_law(self.fit, self.points.n_params[rows], self.values[rows]))


def first_step(
    points: AbilityPoints, values: np.ndarray, delta: float, *, ends_at_none: bool = False
) -> FirstStep:
    """A law of the values, with its doubts.

    Args:
        points: Where they were measured.
        values: Losses, or error rates, > 0, (points,).
        delta: Width of the Huber loss.
        ends_at_none: Whether a law that finds no lower end above 0 is taken to end at 0, as error
            rates may.

    Raises:
        FitError: The points determine no law.
    """
    distinct = np.unique(np.round(np.log(points.n_tokens) / np.log(NEAR)))
    if len(distinct) == 1:
        law = fit_loss_law(points.n_params, values)
        residuals = np.log(values / np.asarray(law(points.n_params)))
        sd = float(np.sqrt(np.sum(residuals**2) / max(len(values) - 3, 1)))
        # Losses of tasks with one right answer may well end at 0, where text's do not.
        doubt = "" if law.status == "converged" or law.E == 0 else law.reason
        tokens = float(np.median(points.n_tokens))
        return FirstStep(
            points, values, _of_size(law), law, tokens, sd, doubt or _misfit(residuals)
        )
    columns = (points.n_params, points.n_tokens, values)
    fit = fit_parametric(*columns, delta=delta)
    if ends_at_none and fit.status == "bound_hit" and fit.reason.startswith("E ran"):
        fit = fit_parametric(*columns, delta=delta, fixed={"E": NONE})
    doubt = "" if fit.usable else fit.reason or f"the fit is {fit.status}"
    if not np.isfinite(fit.E):
        raise FitError(doubt)
    freedom = max(len(values) - fit.problem.n_free, 1)
    sd = float(np.sqrt(np.sum(fit.residuals**2) / freedom))
    return FirstStep(
        points, values, fit.surface, fit, float("nan"), sd, doubt or _misfit(fit.residuals)
    )


def _misfit(residuals: np.ndarray) -> str:
    rms = float(np.sqrt(np.mean(residuals**2)))
    return f"it misses its own points by {100 * rms:.0f} % (rms)" if rms > MOST_SCATTER else ""


def _of_size(law: LossLaw) -> Surface:
    """L = E + k N^-g as a surface whose term in D is 0."""
    E, k, g = (np.squeeze(np.asarray(value)) for value in (law.E, law.k, law.g))
    return Surface(E, k, 0.0 * E, g, 1.0 + 0.0 * E)


def _even(weights: np.ndarray) -> np.ndarray:
    """Resamples of clusters of unequal size as rows of as many points each, by whole numbers.

    A resample of larger clusters is thinned, of smaller ones repeated, at its end.
    """
    n_points = weights.shape[1]
    made = np.zeros_like(weights)
    for row, own in zip(made, weights, strict=True):
        drawn = np.repeat(np.arange(n_points), own.astype(int))
        np.add.at(row, np.resize(drawn, n_points), 1)
    return made
