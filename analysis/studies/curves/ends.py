"""Ends that runs of other lengths would reach: the envelope of runs that all came to their end.

Inside a cosine the loss lies above that of a run that ends there, which biases an envelope of
curves. The law of whole curves says how much a size's schedule, stretched to another length, gains
or loses; from the runs' own final losses follows where it ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.data.run_arrays import Curves, RunArrays
from analysis.errors import FitError
from analysis.fits.curve_law.law import CurveLaw, terms
from analysis.fits.curve_law.path import LossCurve, path
from analysis.fits.envelope import EnvelopeFit, fit_envelope, laws_through, outline
from analysis.fits.min_loss import envelope_loss_law
from analysis.fits.min_loss_law import LossLaw, refit_loss_law
from analysis.stats.resampling import Interval, percentile_interval, resample_counts
from analysis.studies.curves.study import CurveStudy

LENGTHS = 24
"""Lengths between each size's shortest and longest run at which ends are read."""

N_DRAWS = 200


@dataclass(frozen=True, eq=False)
class EndEnvelope:
    """Approach 1 on ends instead of on losses inside schedules.

    Attributes:
        fit: The envelope of the ends.
        a_interval: 95 % of the exponent, over resamples of the runs (the law's shape is kept).
        law: Least loss in compute; None for the `reason`.
        law_draws: The same of the resamples.
        reason: Why there is no law of the loss.
    """

    fit: EnvelopeFit
    a_interval: Interval
    law: LossLaw | None = None
    law_draws: LossLaw | None = None
    reason: str = ""


def end_envelope(study: CurveStudy, runs: RunArrays, names: list[str], seed: int) -> EndEnvelope:
    """The envelope of the ends that the law predicts, in the losses of the runs.

    Levels and A are refitted to the runs' final losses, which are of validation, with the shape
    and the ratio B / A of the law, which are of training losses.

    Args:
        study: The law and the curves of the runs.
        runs: Their sizes, costs and final losses.
        names: What each is called.
        seed: Of the resamples.

    Raises:
        FitError: The law may not be used, or there are fewer than two sizes.
    """
    if study.objections:
        raise FitError("; ".join(study.objections))
    ends = Ends.of(study, runs, names)
    fit = fit_envelope(ends.curves(np.ones(len(ends.loss))))
    rng = np.random.default_rng([seed, 2])
    sizes = ends.n_params[ends.group]
    made = [fit_envelope(one).points for one in ends.draws(rng)]
    interval = percentile_interval(np.array([laws_through(one)[0] for one in made]))
    try:
        law = envelope_loss_law(fit, sizes)
    except FitError as error:
        return EndEnvelope(fit, interval, reason=str(error))
    flops, loss = np.moveaxis(np.array([outline(one, sizes) for one in made]), 1, 0)
    return EndEnvelope(fit, interval, law, refit_loss_law(law, flops, loss))


@dataclass(frozen=True, eq=False)
class Ends:
    """Final losses of runs, what the law says of their pasts, and the ends that are asked for.

    Attributes:
        law: The law.
        loss: Final losses, (runs,).
        past: Age term and gain of each run's end, (runs, 2).
        group: Number of each run's size, (runs,).
        n_params: Each size, (sizes,).
        per_token: FLOPs per token of each size.
        wanted: Age term and gain of each end that is asked for, (ends, 2).
        size: Number of its size, (ends,).
        n_tokens: Its length.
    """

    law: CurveLaw
    loss: np.ndarray
    past: np.ndarray
    group: np.ndarray
    n_params: np.ndarray
    per_token: np.ndarray
    wanted: np.ndarray
    size: np.ndarray
    n_tokens: np.ndarray

    @classmethod
    def of(cls, study: CurveStudy, runs: RunArrays, names: list[str]) -> "Ends":
        """Each size's longest run stretched to LENGTHS lengths."""
        place = {name: i for i, name in enumerate(names)}
        curves = [curve for curve in study.curves if curve.name in place]
        rows = np.array([place[curve.name] for curve in curves])
        _, first, group = np.unique(
            [curve.size for curve in curves], return_index=True, return_inverse=True
        )
        stretched = [
            (number, one)
            for number in range(len(first))
            for one in _stretched(
                [c for c, own in zip(curves, group, strict=True) if own == number]
            )
        ]
        return cls(
            study.law,
            runs.loss[rows],
            np.array([_terms(study.law, curve) for curve in curves]),
            group,
            runs.n_params[rows[first]],
            (runs.flops / runs.n_tokens)[rows[first]],
            np.array([_terms(study.law, curve) for _, curve in stretched]),
            np.array([number for number, _ in stretched]),
            np.array([curve.n_tokens[-1] for _, curve in stretched]),
        )

    def curves(self, counts: np.ndarray) -> Curves:
        """The ends by the runs that `counts` (runs,) says how often to take."""
        weight = np.sqrt(counts) / self.loss
        ratio = self.law.B / self.law.A
        levels = (self.group[:, None] == np.arange(len(self.n_params))).astype(float)
        design = np.column_stack([levels, self.past @ [1.0, -ratio]])
        found = np.linalg.lstsq(design * weight[:, None], self.loss * weight, rcond=None)[0]
        loss = found[self.size] + found[-1] * (self.wanted @ [1.0, -ratio])
        flops = self.per_token[self.size] * self.n_tokens
        return Curves(self.size, self.n_params[self.size], self.n_tokens, flops, loss)

    def draws(self, rng: np.random.Generator) -> Iterator[Curves]:
        """The ends by resampled runs; a resample that lacks a size is drawn from none."""
        for counts in resample_counts(len(self.loss), N_DRAWS, rng):
            if len(np.unique(self.group[counts > 0])) == len(self.n_params):
                yield self.curves(counts)


def _stretched(curves: list[LossCurve]) -> list[LossCurve]:
    """The longest of some runs of one size, stretched to lengths from the shortest to itself."""
    lengths = [float(curve.n_tokens[-1]) for curve in curves]
    longest = curves[int(np.argmax(lengths))]
    return [
        replace(longest, n_tokens=longest.n_tokens * (length / longest.n_tokens[-1]))
        for length in np.geomspace(min(lengths), max(lengths), LENGTHS)
    ]


def _terms(law: CurveLaw, curve: LossCurve) -> tuple[float, float]:
    age, gained = terms(law.shape, path(curve.n_tokens, curve.lr, curve.n_tokens[-1:]), law.unit)
    return float(age[0]), float(gained[0])
