"""The law of whole curves fitted to some runs, and how it does on them and on others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from analysis.data.loss_table import LossTable
from analysis.errors import FitError
from analysis.fits.curve_law.fit import fit_curve_law, thinned
from analysis.fits.curve_law.law import CurveLaw
from analysis.fits.curve_law.path import LossCurve, past_of

FARTHEST = 2.0
"""Factor to which a curve may be longer than those fitted for its end to have an interval."""

MOST_CURVES = 60
"""Runs that a law is fitted to; of more, an even choice over sizes and lengths."""

FEWEST_LEFT_OUT = 5
"""Curves that must have been left out in turn for ends to get an interval."""

FOLDS = 4
"""Parts of the curves that are left out in turn."""

LEAST_EXPLAINED = 0.8
"""Share of a curve's variance, less that of noise, below which the law does not describe it."""


@dataclass(frozen=True)
class CurveError:
    """How far the law lies from one curve's thinned points (`fit_curve_law`).

    Attributes:
        name: Of the run.
        fitted: Whether the law was fitted to it.
        r2: Share of the curve's variance that the law explains.
        explained: The same of what is not noise, by differences of neighbouring residuals.
        mean_error: Mean absolute error, in the unit of the losses.
        end_error: The law over the mean of the last points, less 1.
    """

    name: str
    fitted: bool
    r2: float
    explained: float
    mean_error: float
    end_error: float


@dataclass(frozen=True, eq=False)
class CurveStudy:
    """A law of whole curves with its errors.

    Attributes:
        law: The law.
        curves: All runs' curves.
        errors: Of each curve whose size the law knows.
        n_left_out: Curves that were not fitted since there were more than MOST_CURVES.
        end_half_width: Half the 95 % interval of the end of another curve of the fitted sizes and
            lengths, as a share of it; NaN where fewer than FEWEST_LEFT_OUT could be left out.

    Examples:
        >>> from isoflop import CurveStudy, fit_curves
        >>> steps = [float(step) for step in range(100, 2100, 100)]
        >>> points = {"run": ["a"] * 20, "step": steps, "lr": [1e-3] * 20,
        ...           "loss": [2 + 5 * step**-0.4 for step in steps]}
        >>> fit_curves(points).objections
        ("no run's learning rate falls, so what a decay gains is not determined",)
    """

    law: CurveLaw
    curves: tuple[LossCurve, ...]
    errors: tuple[CurveError, ...]
    n_left_out: int = 0
    end_half_width: float = float("nan")

    @property
    def objections(self) -> tuple[str, ...]:
        """Why nothing may be predicted by the law."""
        if self.law.status != "converged":
            return (self.law.reason or f"the law is {self.law.status}",)
        poor = [one for one in self.errors if one.fitted and one.explained < LEAST_EXPLAINED]
        if len(poor) > len(self.errors) / 2:
            share = f"{LEAST_EXPLAINED:.0%} of what is not noise"
            return (f"the law explains less than {share} in {len(poor)} curves of its own",)
        return ()

    def to_json(self) -> dict[str, Any]:
        """As fits.json and curves.json have it; numbers may be NaN."""
        law = self.law
        return {
            **asdict(law.shape),
            "A": law.A,
            "B": law.B,
            "unit": law.unit,
            "levels": {f"{size:.6g}": level for size, level in law.levels.items()},
            "rms": law.rms,
            "n_points": law.n_points,
            "status": law.status,
            "reason": law.reason,
            "objections": list(self.objections),
            "end_half_width": self.end_half_width,
            "curves": [asdict(one) for one in self.errors],
        }


def study_curves(curves: Sequence[LossCurve], fitted: Sequence[str] = ()) -> CurveStudy:
    """The law of some curves, held against all of them.

    Args:
        curves: All of them.
        fitted: Names of those that the law is fitted to; empty for all.

    Raises:
        FitError: An unknown name, or no curve that can be fitted.
    """
    names = [curve.name for curve in curves]
    unknown = [name for name in fitted if name not in names]
    if unknown:
        raise FitError(f"no curve is called {unknown[0]}; expected some of {', '.join(names)}")
    chosen = [curve for curve in curves if not fitted or curve.name in fitted]
    used = _evenly(chosen)
    law = fit_curve_law(used)
    own = {curve.name for curve in used}
    errors = [_error(law, curve, curve.name in own) for curve in curves if curve.size in law.levels]
    return CurveStudy(
        law, tuple(curves), tuple(errors), len(chosen) - len(used), _end_half_width(law, used)
    )


def _end_half_width(law: CurveLaw, used: Sequence[LossCurve]) -> float:
    """Half a 95 % interval of ends, from curves predicted by laws that were fitted without them.

    Lengths beyond the others' are left out of it: how far a law extrapolates is another matter.
    """
    if law.status != "converged" or len(used) <= FEWEST_LEFT_OUT:
        return float("nan")
    missed, folds = [], min(FOLDS, len(used))
    for fold in range(folds):
        own = [curve for i, curve in enumerate(used) if i % folds == fold]
        others = [curve for i, curve in enumerate(used) if i % folds != fold]
        without = fit_curve_law(others, law.shape)
        longest = max(float(curve.n_tokens[-1]) for curve in others)
        missed += [
            _error(without, curve, False).end_error
            for curve in own
            if curve.size in without.levels and curve.n_tokens[-1] <= FARTHEST * longest
        ]
    n = len(missed)
    if n < FEWEST_LEFT_OUT:
        return float("nan")
    return float(student.ppf(0.975, n) * np.sqrt(np.mean(np.square(missed)) * (1 + 1 / n)))


def curves_of(table: LossTable, points: pd.DataFrame) -> list[LossCurve]:
    """Smoothed training losses of the runs of a table, in its order.

    Args:
        table: Runs.
        points: What `sweep_points` returned.
    """
    known = points.loc[points["lr"].notna() & points["train_loss"].notna()]
    groups = dict(iter(known.groupby("run_id", sort=False, observed=True)))
    found = []
    sizes = table.numbers("n_params").tolist()
    for name, size in zip(table.texts("run_id"), sizes, strict=True):
        if name not in groups:
            continue
        own = groups[name].sort_values("n_tokens").drop_duplicates("n_tokens", keep="last")
        found.append(curve_of(str(name), float(size), own, "train_loss"))
    return found


def curves_of_points(points: pd.DataFrame) -> list[LossCurve]:
    """The curves of a table of points, as `table_points` returned it, in its order."""
    found = []
    for name, own in points.groupby("run", sort=False):
        own = own.sort_values("n_tokens").drop_duplicates("n_tokens", keep="last")
        found.append(curve_of(str(name), float(own["n_params"].iloc[0]), own, "loss"))
    return found


def curve_of(name: str, size: float, points: pd.DataFrame, column: str) -> LossCurve:
    """One run's points, sorted by tokens, as a curve."""
    own = points.loc[points["n_tokens"] > 0]
    n_tokens, lr, loss = (own[key].to_numpy(dtype=float) for key in ("n_tokens", "lr", column))
    return LossCurve(name, size, n_tokens, lr, loss)


def predicted(law: CurveLaw, curve: LossCurve, at: np.ndarray | None = None) -> np.ndarray:
    """The law along a curve's own schedule, at some tokens or at all of its points."""
    return law.loss(curve.size, past_of(curve.n_tokens, curve.lr, at))


def _error(law: CurveLaw, curve: LossCurve, fitted: bool) -> CurveError:
    past, loss = thinned(curve)
    left = loss - law.loss(curve.size, past)
    spread = max(float(np.sum((loss - loss.mean()) ** 2)), 1e-12)
    noise = min(float(np.sum(np.diff(left) ** 2)) / 2, float(np.sum(left**2)))
    last = max(1, len(left) // 20)
    return CurveError(
        curve.name,
        fitted,
        1 - float(np.sum(left**2)) / spread,
        1 - (float(np.sum(left**2)) - noise) / max(spread - noise, 1e-12),
        float(np.mean(np.abs(left))),
        -float(np.mean(left[-last:]) / np.mean(loss[-last:])),
    )


def _evenly(curves: list[LossCurve]) -> list[LossCurve]:
    if len(curves) <= MOST_CURVES:
        return curves
    order = sorted(range(len(curves)), key=lambda i: (curves[i].size, curves[i].n_tokens[-1]))
    kept = {order[int(i)] for i in np.linspace(0, len(order) - 1, MOST_CURVES)}
    return [curve for i, curve in enumerate(curves) if i in kept]
