"""An ability in two steps: (N, D) to the loss of its answers, and that loss to accuracy.

Both steps are fitted to the same points and resampled together, so that an interval holds what
either leaves open. Beside them stands the direct law, of the error rate in N and D.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from analysis.errors import FitError, FitErrors
from analysis.fits.downstream.second_step import SecondStep, fit_second_step, refit_second_step
from analysis.fits.surface import Surface
from analysis.stats.resampling import Interval, percentile_interval, resample_counts
from analysis.studies.ability.first_step import FirstStep, first_step
from analysis.studies.ability.points import AbilityPoints
from analysis.studies.allocation import NEAR
from analysis.studies.approaches.fitted_approach import NO_INTERVAL
from analysis.studies.fit_config import FitConfig
from analysis.studies.questions.prediction import Point

MOST_DRAWS = 1000


@dataclass(frozen=True)
class AbilityPrediction:
    """One task's accuracy for one run; NaN where there is none, for the reason.

    Attributes:
        loss: Predicted loss of the task's answers, with the interval of the law.
        accuracy: Through both steps; `confidence` is the interval of the law, `run` that of one
            run, with the scatter about both steps.
        direct: By the law of the error rate in N and D; NaN for the reason. It has no interval:
            a surface of error rates bends otherwise than accuracy does, and resampling does not
            show that (benchmarks/coverage_ability.py: 17 to 93 % held the truth).
        beyond: Factors by which the run lies outside the points in N and D.
        measured: Accuracy where it was measured.
    """

    task: str
    point: Point
    loss: float = float("nan")
    loss_interval: Interval = NO_INTERVAL
    accuracy: float = float("nan")
    confidence: Interval = NO_INTERVAL
    run: Interval = NO_INTERVAL
    direct: float = float("nan")
    direct_reason: str = ""
    beyond: dict[str, float] = field(default_factory=dict)
    measured: float = float("nan")
    reason: str = ""

    @property
    def error(self) -> float:
        """Predicted over measured accuracy, less 1; NaN without both."""
        return self.accuracy / self.measured - 1

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "error": self.error}


@dataclass(frozen=True, eq=False)
class TwoSteps:
    """Both steps of one task, with resamples; `reason` says why nothing may be predicted.

    `draws` are the resamples of the first step's surface and of the second step's parameters.
    """

    points: AbilityPoints
    first: FirstStep | None
    second: SecondStep | None
    direct: FirstStep | None
    draws: tuple[Surface, np.ndarray] | None
    reason: str = ""
    direct_reason: str = ""

    @property
    def task(self) -> str:
        return self.points.task


def fit_two_steps(
    points: AbilityPoints, config: FitConfig, kind: str = "sigmoid", bottom: float | None = None
) -> TwoSteps:
    """Both steps of a task and the direct law, with `config.n_resamples` resamples of its runs.

    Args:
        points: What was measured.
        config: `delta`, `n_resamples` and `seed` are used.
        kind: Of the second step; see `analysis.fits.downstream`.
        bottom: What chance gives, held; None takes the points' own, and where they know none
            leaves it free.
    """
    if bottom is None and np.isfinite(points.chance):
        bottom = points.chance
    attempt = FitErrors()
    delta, errors = config.delta, np.maximum(1 - points.accuracy, 1e-6)
    first = attempt("first", lambda: first_step(points, points.loss, delta))
    second = attempt("second", lambda: fit_second_step(points.loss, points.accuracy, kind, bottom))
    direct = attempt("direct", lambda: first_step(points, errors, delta, ends_at_none=True))
    doubts = {
        "law of the loss": attempt.missing.get("first") or (first.doubt if first else ""),
        "second step": attempt.missing.get("second") or (second.reason if second else ""),
    }
    reason = "; ".join(f"no {name}: {doubt}" for name, doubt in doubts.items() if doubt)
    direct_reason = attempt.missing.get("direct") or (direct.doubt if direct else "")
    direct = None if direct_reason else direct
    draws = None
    if not reason and first is not None and second is not None:
        draws = _draws(points, first, second, config)
    return TwoSteps(points, first, second, direct, draws, reason, direct_reason)


def predict_ability(
    made: TwoSteps, point: Point, seed: int = 0, measured: float = float("nan")
) -> AbilityPrediction:
    """Accuracy of one run by both steps, and by the direct law."""
    nothing = AbilityPrediction(
        made.task, point, beyond=_beyond(made.points, point), measured=measured
    )
    if made.reason or made.first is None or made.second is None:
        return replace(nothing, reason=made.reason)
    place = (point.n_params, point.n_tokens)
    try:
        loss = made.first.loss(*place)
    except FitError as error:
        return replace(nothing, reason=str(error))
    found = replace(
        nothing,
        loss=loss,
        accuracy=float(made.second(np.array([loss]))[0]),
        direct_reason=made.direct_reason,
        direct=float("nan") if made.direct is None else 1 - made.direct.loss(*place),
    )
    return found if made.draws is None else replace(found, **_intervals(made, place, seed))


def _intervals(made: TwoSteps, place: tuple[float, float], seed: int) -> dict[str, Any]:
    assert made.draws is not None and made.second is not None and made.first is not None
    surface, thetas = made.draws
    with np.errstate(all="ignore"):  # draws without a finite loss become NaN and are counted
        losses = np.asarray(surface.loss(*place))
    accuracies = made.second(losses, thetas)
    rng = np.random.default_rng(seed)
    shaken = losses * np.exp(made.first.sd * rng.standard_normal(len(losses)))
    one = made.second(shaken, thetas) + made.second.sd * rng.standard_normal(len(losses))
    return {
        "loss_interval": percentile_interval(losses),
        "confidence": percentile_interval(accuracies),
        "run": percentile_interval(np.clip(one, 0, 1)),
    }


def _draws(
    points: AbilityPoints, first: FirstStep, second: SecondStep, config: FitConfig
) -> tuple[Surface, np.ndarray] | None:
    n_draws = min(config.n_resamples, MOST_DRAWS)
    if not n_draws or len(np.unique(points.cluster)) < 2:
        return None
    rng = np.random.default_rng(config.seed)
    weights = resample_counts(len(points), n_draws, rng, points.cluster)
    thetas = refit_second_step(second, points.loss, points.accuracy, weights)
    return first.draws(weights), thetas


def _beyond(points: AbilityPoints, point: Point) -> dict[str, float]:
    pairs: Sequence[tuple[str, float, np.ndarray]] = (
        ("N", point.n_params, points.n_params), ("D", point.n_tokens, points.n_tokens)
    )  # fmt: skip
    factors = {name: max(v / float(own.max()), float(own.min()) / v) for name, v, own in pairs}
    return {name: factor for name, factor in factors.items() if factor > NEAR}
