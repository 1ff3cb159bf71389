"""The study of forms: the rolling hold-out of a table, its summary, and what all forms predict."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.data.run_arrays import FitInput
from analysis.errors import FitError
from analysis.studies.allocation import NEAR
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.forms.averaging import AVERAGE, CHOSEN, combined, final_weights
from analysis.studies.forms.candidates import Candidate, candidates
from analysis.studies.forms.rolling import DISTANCES, Rolling, rms, roll
from analysis.studies.questions.prediction import Point
from analysis.studies.study import Study

USUAL = "additive, Huber, log"
"""Approach 3 as the report fits it, which others are compared with."""


@dataclass(frozen=True)
class FormErrors:
    """Errors of one candidate, as rms of log predicted over measured loss; NaN for none.

    Attributes:
        name: Form and objective, or an average.
        steps: Of the next group, at each step.
        following: Of the next group over all steps but the first, at which nothing is known of
            which form to take: the figure by which candidates and averages compare.
        by_distance: By class of distance, over all steps.
        weight: In the average of all; NaN for averages.
        reason: Why it has no numbers.
    """

    name: str
    steps: tuple[float, ...]
    following: float
    by_distance: tuple[float, ...]
    weight: float = float("nan")
    reason: str = ""


@dataclass(frozen=True)
class FormPrediction:
    """What every candidate predicts for one run after a fit to all runs, and their average.

    `error` is the rms error of the average at such a distance, NaN where no step went as far.
    """

    point: Point
    losses: dict[str, float]
    average: float
    factor: float
    error: float


@dataclass(frozen=True)
class FormStudy:
    """A rolling hold-out with its summary, the best first."""

    rolling: Rolling
    rows: tuple[FormErrors, ...]
    predictions: tuple[FormPrediction, ...] = ()

    def find(self, name: str) -> FormErrors:
        return next(row for row in self.rows if row.name == name)

    @property
    def best(self) -> FormErrors:
        """The candidate of least error, by hindsight; averages are none."""
        own = [row for row in self.rows if row.name not in (AVERAGE, CHOSEN)]
        return min(own, key=lambda row: np.nan_to_num(row.following, nan=np.inf))


def study_forms(study: Study, by: str = "flops", points: Sequence[Point] = ()) -> FormStudy:
    """The rolling hold-out of a study's runs; of all of them where many repeat their data.

    Raises:
        FitError: Fewer than three groups, or no candidate that could predict.
    """
    repeated = study.find(RepeatedApproach)
    data = repeated.every if repeated is not None and study.repeats_data else study.data
    return compare_forms(data, study.config, by, points)


def compare_forms(
    data: FitInput, config: FitConfig, by: str = "flops", points: Sequence[Point] = ()
) -> FormStudy:
    """The same of runs as arrays; see `study_forms`."""
    found = candidates(data, config)
    made = roll(data, found, by)
    if not made.complete.any():
        reasons = "; ".join(f"{name}: {why}" for name, why in made.reasons.items())
        raise FitError(f"no form predicts every group ({reasons})")
    share = final_weights(made)
    averages = combined(made)
    rows = [
        _summary(made, name, own, float(weight))
        for name, own, weight in zip(made.candidates, made.errors, share, strict=True)
    ]
    rows += [_summary(made, name, errors) for name, errors in averages.items()]
    rows.sort(key=lambda row: np.nan_to_num(row.following, nan=np.inf))
    predicted = _predicted(data, made, found, share, averages[AVERAGE], points)
    return FormStudy(made, tuple(rows), predicted)


def _summary(
    made: Rolling, name: str, errors: np.ndarray, weight: float = float("nan")
) -> FormErrors:
    later = slice(1, None) if len(made.cuts) > 1 else slice(None)
    classes = itertools.pairwise(DISTANCES)
    return FormErrors(
        name,
        tuple(rms(errors[k], made.next[k]) for k in range(len(made.cuts))),
        rms(errors[later], made.next[later]),
        tuple(rms(errors, _between(made.distance, *ends)) for ends in classes),
        weight,
        made.reasons.get(name, ""),
    )


def _between(distance: np.ndarray, low: float, high: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # fitted runs have no distance
        return (distance > low) & (distance <= high)


def _predicted(
    data: FitInput,
    made: Rolling,
    found: Sequence[Candidate],
    share: np.ndarray,
    average: np.ndarray,
    points: Sequence[Point],
) -> tuple[FormPrediction, ...]:
    """Predictions of every point by the candidates that have a weight, fitted to all runs."""
    if not points:
        return ()
    runs = data.runs
    n, d = (np.array([getattr(p, key) for p in points]) for key in ("n_params", "n_tokens"))
    flops = np.asarray(runs.cost.flops(n, d))
    asked = replace(runs, n_params=n, n_tokens=d, flops=flops, loss=np.ones(len(n)), budget=flops)
    where = FitInput(asked, epochs=np.ones(len(n)))
    kept = np.flatnonzero(share > 0)
    losses = np.array([found[i].fit(data)(where) for i in map(int, kept)])
    mean = np.exp(share[kept] @ np.log(losses))
    factors = (flops if made.by == "flops" else n) / float(getattr(runs, made.by).max())
    names = [found[i].name for i in map(int, kept)]
    return tuple(
        FormPrediction(
            point,
            dict(zip(names, map(float, losses[:, i]), strict=True)),
            float(mean[i]),
            float(factors[i]),
            _error_at(made, average, float(factors[i])),
        )
        for i, point in enumerate(points)
    )


def _error_at(made: Rolling, average: np.ndarray, factor: float) -> float:
    """The average's rms error at a distance: of its class, or of the next farther one with runs;
    NaN beyond the farthest run that was ever predicted.
    """
    if factor > NEAR * np.nanmax(made.distance):
        return float("nan")
    place = max(int(np.searchsorted(DISTANCES, factor)), 1)
    farther = zip(DISTANCES[place - 1 : -1], DISTANCES[place:], strict=True)
    found = [rms(average, _between(made.distance, *ends)) for ends in farther]
    return next((error for error in found if np.isfinite(error)), float("nan"))
