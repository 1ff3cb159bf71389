"""Ends that runs of other lengths would reach: the envelope of runs that all came to their end.

Inside a cosine the loss lies above that of a run that ends there, which biases an envelope of
curves. The law of whole curves says how much a size's schedule, stretched to another length, gains
or loses; from the runs' own final losses follows where it ends.
"""

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.run_arrays import Curves, RunArrays
from analysis.errors import FitError
from analysis.fits.curve_law.law import CurveLaw, terms
from analysis.fits.curve_law.path import LossCurve, past_of
from analysis.fits.envelope import EnvelopeFit, fit_envelope
from analysis.fits.min_loss import envelope_loss_law
from analysis.fits.min_loss_law import LossLaw
from analysis.studies.curves.study import CurveStudy

LENGTHS = 24
"""Lengths between each size's shortest and longest run at which ends are read."""


@dataclass(frozen=True, eq=False)
class EndEnvelope:
    """Approach 1 on ends instead of on losses inside schedules.

    It has no intervals: resamples of the runs do not show how far grids of few sizes shift it.

    Attributes:
        fit: The envelope of the ends.
        law: Least loss in compute; None for the `reason`.
        reason: Why there is no law of the loss.
    """

    fit: EnvelopeFit
    law: LossLaw | None = None
    reason: str = ""


def end_envelope(study: CurveStudy, runs: RunArrays, names: list[str]) -> EndEnvelope:
    """The envelope of the ends that the law predicts, in the losses of the runs.

    Levels and A are refitted to the runs' final losses, which are of validation, with the shape
    and the ratio B / A of the law, which are of training losses.

    Args:
        study: The law and the curves of the runs.
        runs: Their sizes, costs and final losses.
        names: What each is called.

    Raises:
        FitError: The law may not be used, or there are fewer than two sizes.
    """
    if study.objections:
        raise FitError("; ".join(study.objections))
    ends = Ends.of(study, runs, names)
    fit = fit_envelope(ends.curves())
    try:
        return EndEnvelope(fit, envelope_loss_law(fit, ends.n_params))
    except FitError as error:
        return EndEnvelope(fit, reason=str(error))


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

    def curves(self) -> Curves:
        """The ends, as curves of one point per length."""
        ratio = self.law.B / self.law.A
        levels = (self.group[:, None] == np.arange(len(self.n_params))).astype(float)
        design = np.column_stack([levels, self.past @ [1.0, -ratio]]) / self.loss[:, None]
        found = np.linalg.lstsq(design, np.ones(len(self.loss)), rcond=None)[0]
        loss = found[self.size] + found[-1] * (self.wanted @ [1.0, -ratio])
        flops = self.per_token[self.size] * self.n_tokens
        return Curves(self.size, self.n_params[self.size], self.n_tokens, flops, loss)


def _stretched(curves: list[LossCurve]) -> list[LossCurve]:
    """The longest of some runs of one size, stretched to lengths from the shortest to itself."""
    lengths = [float(curve.n_tokens[-1]) for curve in curves]
    longest = curves[int(np.argmax(lengths))]
    return [
        replace(longest, n_tokens=longest.n_tokens * (length / longest.n_tokens[-1]))
        for length in np.geomspace(min(lengths), max(lengths), LENGTHS)
    ]


def _terms(law: CurveLaw, curve: LossCurve) -> tuple[float, float]:
    age, gained = terms(law.shape, past_of(curve.n_tokens, curve.lr, curve.n_tokens[-1:]), law.unit)
    return float(age[0]), float(gained[0])
