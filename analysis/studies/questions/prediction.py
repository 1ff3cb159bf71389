"""What loss do N parameters on D tokens reach? Every law's answer, and how far to trust it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies.allocation import beyond
from analysis.studies.approaches.fitted_approach import NO_INTERVAL, FittedApproach
from analysis.studies.study import Study


@dataclass(frozen=True)
class Point:
    """A run to predict, and its measured loss where there is one (NaN for none)."""

    n_params: float
    n_tokens: float
    measured: float = float("nan")


@dataclass(frozen=True)
class LossPrediction:
    """One law's answer for one run; NaN where it gives none, for the reason.

    Attributes:
        approach: The law; `decides` says whether it may give a headline at all.
        flops: What the run costs by the runs' own cost law.
        confidence: 95 % interval of the law's mean loss, over resamples of the runs.
        prediction: 95 % interval of one run's loss: the same with the noise of a run.
        noise: Standard deviation of a run's log loss, and what it was taken from.
        beyond: Factors by which the run lies outside those fitted, in C, N and D.
    """

    approach: str
    decides: bool
    point: Point
    flops: float
    loss: float
    confidence: Interval = NO_INTERVAL
    prediction: Interval = NO_INTERVAL
    noise: float = float("nan")
    noise_from: str = ""
    beyond: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def error(self) -> float:
        """Predicted over measured loss, less 1; NaN without both."""
        return self.loss / self.point.measured - 1

    def to_json(self) -> dict[str, Any]:
        """The answer as fits.json has it; numbers may be NaN."""
        return {**asdict(self), "error": self.error}


def predict_losses(study: Study, points: Sequence[Point]) -> list[LossPrediction]:
    """Every law's prediction of each run, those that may decide first."""
    laws = [fit for fit in study.fits.values() if fit.surface is not None]
    laws.sort(key=lambda fit: (fit is not study.preferred, not fit.decides))
    return [_predicted(study, fit, point) for point in points for fit in laws]


def disagreement(predictions: Sequence[LossPrediction]) -> float:
    """Largest over smallest predicted loss of one run, less 1; NaN for fewer than two laws."""
    found = [p.loss for p in predictions if np.isfinite(p.loss)]
    return max(found) / min(found) - 1 if len(found) > 1 else float("nan")


def _predicted(study: Study, fit: FittedApproach, point: Point) -> LossPrediction:
    flops = float(study.runs.cost.flops(point.n_params, point.n_tokens))
    outside = beyond(fit.measured, flops, point.n_params, point.n_tokens)
    nothing = LossPrediction(fit.name, fit.decides, point, flops, float("nan"), beyond=outside)
    # A law of another form than the headline's is shown to be compared, but never a failed fit.
    refused = fit.objections if fit.decides else ()
    if not fit.usable or refused:
        reason = "; ".join(refused) or fit.reason or f"the fit is {fit.status}"
        return LossPrediction(**{**vars(nothing), "reason": reason})
    loss, confidence = fit.loss(point.n_params, point.n_tokens)
    noise, noise_from = run_noise(fit)
    return LossPrediction(
        **{
            **vars(nothing),
            "loss": loss,
            "confidence": confidence,
            "prediction": interval_with_noise(fit, point, noise, study.config.seed),
            "noise": noise,
            "noise_from": noise_from,
        }
    )


def run_noise(fit: FittedApproach) -> tuple[float, str]:
    """Standard deviation of a run's log loss about the law, and what it was taken from.

    The scatter of the runs about the law, which holds the law's own misfit too; the noise between
    seeds where that is larger, or was given.
    """
    quality, freedom = fit.quality, max(len(fit.data) - fit.n_free, 1)
    if quality is None:
        return float("nan"), ""
    scatter = quality.rms * float(np.sqrt(len(fit.data) / freedom))
    known = {
        "fit.noise": fit.config.noise or 0.0,
        "repeated cells": quality.seed_noise or 0.0,
        "scatter about the law": scatter,
    }
    name = max(known, key=lambda key: known[key])
    return known[name], name


def interval_with_noise(fit: FittedApproach, point: Point, noise: float, seed: int) -> Interval:
    """Percentiles of the resamples' losses, each with a run's noise of its own."""
    if fit.surface_draws is None or not np.isfinite(noise):
        return NO_INTERVAL
    with np.errstate(all="ignore"):  # draws without a finite loss become NaN and are counted
        drawn = np.asarray(fit.surface_draws.loss(point.n_params, point.n_tokens))
    shaken = np.exp(noise * np.random.default_rng(seed).standard_normal(drawn.shape))
    return percentile_interval(drawn * shaken)
