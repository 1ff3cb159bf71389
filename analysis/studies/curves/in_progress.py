"""Where runs in progress will end, by the law of whole curves and what it missed of finished runs.

The law's shape comes from finished runs. A run in progress adds its own level, from its latest
losses. How far that goes wrong is measured, not assumed: each finished run is cut off at the same
share of its tokens and its end predicted by a law that was fitted without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from analysis.errors import FitError
from analysis.fits.curve_law.fit import fit_curve_law, thinned
from analysis.fits.curve_law.law import CurveLaw
from analysis.fits.curve_law.path import LossCurve, past_of

FEWEST = 5
"""Finished runs without which no end is predicted: the interval is of what they scatter by."""

MOST = 24
"""Finished runs that are used; of more, an even choice over sizes and lengths."""

FOLDS = 4
"""Laws, each fitted without a part of the runs, that finished runs' ends are predicted by."""

EARLIEST = 0.15
"""Share of its tokens that a run must have done: before it, no power law describes a curve."""

RECENT = 0.25
"""Share of a curve's thinned points, its latest, that say how far the run lies off the law."""

FARTHEST = 2.0
"""Factor to which a run may lie outside the finished ones in parameters and in tokens."""


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished run: its training losses, and the validation loss at its end."""

    curve: LossCurve
    loss: float


@dataclass(frozen=True)
class PredictedEnd:
    """The validation loss that a run will end with, and its 95 % interval.

    Attributes:
        loss: NaN where none can be told.
        low: Lower end.
        high: Upper end.
        reason: Why there is none.
    """

    loss: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    reason: str = ""

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.loss))


@dataclass(frozen=True, eq=False)
class EndPredictor:
    """Laws of finished runs, and for each the law that was fitted without it.

    Attributes:
        runs: The finished runs.
        law: Fitted to all.
        without: Of each run, the law fitted without it.
    """

    runs: tuple[FinishedRun, ...]
    law: CurveLaw
    without: tuple[CurveLaw, ...]

    @classmethod
    def of(cls, runs: Sequence[FinishedRun]) -> "EndPredictor":
        """The laws of some finished runs.

        Raises:
            FitError: Fewer than FEWEST runs, or none with a curve behind its warm-up.
        """
        kept = _evenly([one for one in runs if len(thinned(one.curve)[1]) >= 8])
        if len(kept) < FEWEST:
            raise FitError(
                f"{len(kept)} finished runs have training curves; an end is predicted from {FEWEST}"
            )
        law = fit_curve_law([one.curve for one in kept])
        if law.status != "converged":
            raise FitError(law.reason or f"the law of the finished runs' curves is {law.status}")
        folds = min(FOLDS, len(kept))
        parts = [
            fit_curve_law([one.curve for i, one in enumerate(kept) if i % folds != fold], law.shape)
            for fold in range(folds)
        ]
        return cls(tuple(kept), law, tuple(parts[i % folds] for i in range(len(kept))))

    def predict(self, so_far: LossCurve, tokens: np.ndarray, lr: np.ndarray) -> PredictedEnd:
        """The end of a run in progress.

        Args:
            so_far: Its training losses until now.
            tokens: Points of its whole schedule, (points,), growing; the last is its end.
            lr: The rates there.
        """
        reason = self._against(so_far, float(tokens[-1]))
        if reason:
            return PredictedEnd(reason=reason)
        share = float(so_far.n_tokens[-1] / tokens[-1])
        missed = np.array([
            np.log(one.loss / _end(law, _cut(one.curve, share), one.curve.n_tokens, one.curve.lr))
            for one, law in zip(self.runs, self.without, strict=True)
        ])  # fmt: skip
        missed = missed[np.isfinite(missed)]
        if len(missed) < FEWEST:
            return PredictedEnd(reason=f"too few finished runs to judge by at {share:.0%}")
        log_end = np.log(_end(self.law, so_far, tokens, lr)) + missed.mean()
        n = len(missed)
        half = student.ppf(0.975, n - 1) * missed.std(ddof=1) * np.sqrt(1 + 1 / n)
        return PredictedEnd(*np.exp([log_end, log_end - half, log_end + half]).tolist())

    def _against(self, so_far: LossCurve, end: float) -> str:
        """Why no end is predicted; empty if it is."""
        done = so_far.n_tokens[-1] / end if len(so_far.n_tokens) else 0.0
        if done < EARLIEST or len(thinned(so_far)[1]) < 8:
            return f"too early: {done:.0%} done"
        for name, value, known in (
            ("parameters", so_far.size, [one.curve.size for one in self.runs]),
            ("tokens", end, [one.curve.n_tokens[-1] for one in self.runs]),
        ):
            factor = max(value / max(known), min(known) / value)
            if factor > FARTHEST:
                return f"its {name} lie a factor of {factor:.2g} outside the finished runs"
        return ""


def _end(law: CurveLaw, so_far: LossCurve, tokens: np.ndarray, lr: np.ndarray) -> float:
    """Training loss at a schedule's end by the law, at the level of the run's latest losses."""
    past, loss = thinned(so_far)
    off = loss - law.above_level(past)
    latest = max(2, round(RECENT * len(off)))
    end = float(law.above_level(past_of(tokens, lr, tokens[-1:]))[0])
    return float(np.mean(off[-latest:])) + end


def _cut(curve: LossCurve, share: float) -> LossCurve:
    kept = curve.n_tokens <= share * curve.n_tokens[-1]
    n_tokens, lr, loss = (values[kept] for values in (curve.n_tokens, curve.lr, curve.loss))
    return replace(curve, n_tokens=n_tokens, lr=lr, loss=loss)


def _evenly(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    order = sorted(runs, key=lambda one: (one.curve.size, one.curve.n_tokens[-1]))
    rows = np.unique(np.linspace(0, len(order) - 1, min(MOST, len(order))).astype(int))
    return [order[int(i)] for i in rows] if order else []
