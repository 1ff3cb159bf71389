"""The data-constrained law as a fitted approach: what decides where runs saw tokens repeatedly."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from analysis.data.run_arrays import FitInput
from analysis.errors import FitError, Numbers, Status
from analysis.fits.data_constrained import (
    DECAYS,
    LEAST,
    MOST,
    REPEATED,
    DataConstrained,
    Decay,
    RepeatedRuns,
    decay_draws,
    fit_decays,
)
from analysis.fits.surface import PARAMETERS, Allocation, Surface
from analysis.format import number
from analysis.stats.goodness_of_fit import FitQuality
from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.fit_config import FitConfig

FEWEST_NEW = 8
"""Runs on new data below which their surface, of five parameters, is not taken as known."""

MOST_DRAWS = 200
"""Resamples of the decay constants, each of which is a fit of its own."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RepeatedApproach(FittedApproach):
    """The surface of the runs on new data, and the worth of repeated tokens beside it.

    Attributes:
        new: Approach 3 on the runs of new data; `data` holds the same runs.
        every: All runs, those that saw tokens too often for other laws included.
        is_new: Which of `every` they are, shape (runs,) of bool.
        decays: R_D and R_N with their profiles' intervals.
    """

    new: ParametricApproach
    every: FitInput
    is_new: np.ndarray
    decays: dict[str, Decay]
    name: ClassVar[str] = "repeated"

    @classmethod
    def fitted(cls, data: FitInput, config: FitConfig) -> Self:
        epochs = data.epochs
        if epochs is None:
            raise FitError("the table does not say how often tokens were seen (column epochs)")
        is_new = epochs <= REPEATED
        if is_new.sum() < FEWEST_NEW:
            raise FitError(
                f"{int(is_new.sum())} of {len(data)} runs are on new data, from which the "
                f"data-constrained law takes its surface; it needs {FEWEST_NEW}: add runs of at "
                f"most one epoch, or count repeated tokens as new with fit.max_epochs=.inf"
            )
        new = ParametricApproach.fitted(data.take(np.flatnonzero(is_new)), config)
        if not new.usable:
            raise FitError(f"the runs on new data determine no surface: {new.reason}")
        runs = _repeated(data, ~is_new)
        decays = fit_decays(new.fit.surface, runs, delta=config.delta, fixed=config.fixed)
        return cls(data=new.data, config=config, new=new, every=data, is_new=is_new, decays=decays)

    @property
    def runs(self) -> RepeatedRuns:
        """The runs on repeated data."""
        return _repeated(self.every, ~self.is_new)

    @property
    def rows(self) -> np.ndarray:
        return np.flatnonzero(self.is_new)

    @property
    def law(self) -> DataConstrained:
        """The law of N, D and epochs; R_N of no bearing where the runs do not tell it."""
        values = {n: np.nan_to_num(d.value, nan=MOST) for n, d in self.decays.items()}
        return DataConstrained(self.new.fit.surface, *(float(values[n]) for n in DECAYS))

    @property
    def status(self) -> Status:
        return self.new.status

    @property
    def reason(self) -> str:
        return self.new.reason

    @property
    def parameters(self) -> dict[str, float]:
        return {**self.new.parameters, **{n: d.value for n, d in self.decays.items()}}

    @property
    def usable(self) -> bool:
        return self.new.usable

    @property
    def objections(self) -> tuple[str, ...]:
        return self.new.objections

    @property
    def n_free(self) -> int:
        return self.new.n_free

    @property
    def surface(self) -> Surface:
        return self.new.surface

    @cached_property
    def surface_draws(self) -> Surface | None:
        return self.new.surface_draws

    def resampled(self, resamples: np.ndarray | None) -> Self:
        of_new = None if resamples is None else resamples[:, self.is_new]
        return replace(self, resamples=resamples, new=self.new.resampled(of_new))

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        return {**self.new.intervals, **self.decay_intervals}

    @cached_property
    def decay_intervals(self) -> dict[str, Interval]:
        """Of R_D and R_N: over resamples of all runs, or by profile where those are asked for."""
        free = {n: d for n, d in self.decays.items() if not (d.fixed or d.reason)}
        draws = self.surface_draws
        if self.config.interval == "profile" or draws is None or self.resamples is None:
            return {name: decay.interval for name, decay in free.items()}
        values = {name: np.asarray(getattr(draws, name))[:MOST_DRAWS] for name in PARAMETERS}
        some = replace(draws, **values)
        weights = self.resamples[:MOST_DRAWS, ~self.is_new]
        drawn = decay_draws(some, self.runs, weights, self.decays, self.config.delta)
        return {name: _open_ended(percentile_interval(drawn[name])) for name in free}

    @property
    def unbounded(self) -> dict[str, tuple[str, ...]]:
        """Sides on which the runs do not bound R_D or R_N, by name."""
        found = {}
        for name, decay in self.decays.items():
            low, high = self.decay_intervals.get(name, (np.nan, np.nan))
            ends = {"below": low <= 0, "above": high == np.inf}
            sides = tuple(s for s, is_open in ends.items() if is_open or s in decay.open_sides)
            if sides:
                found[name] = sides
        return found

    @cached_property
    def misfit(self) -> float:
        """Rms of log residuals of the runs on repeated data."""
        runs = self.runs
        predicted = self.law.loss(runs.n_params, runs.n_tokens, runs.n_tokens / runs.unique)
        return float(np.sqrt(np.mean(np.log(runs.loss / np.asarray(predicted)) ** 2)))

    @cached_property
    def quality(self) -> FitQuality | None:
        return self.new.quality

    def optimal(self, flops: Numbers) -> Allocation:
        return self.new.optimal(flops)

    @property
    def printed(self) -> list[str]:
        """R_D and R_N, then what is printed of the surface of new data."""
        shown = "  ".join(self._shown(name) for name in DECAYS)
        most = float(np.max(self.runs.n_tokens / self.runs.unique))
        lines = [
            f"{shown}  {len(self.runs)} runs repeat data, up to {number(most)} times; rms "
            f"{self.misfit:.3g}"
        ]
        surface = f"surface of the {len(self.new.data)} runs on new data:"
        return [*lines, surface, *self.new.printed]

    def _shown(self, name: str) -> str:
        decay = self.decays[name]
        if decay.fixed:
            return f"{name} {number(decay.value)} (fixed)"
        if decay.reason:
            return f"{name} – ({decay.reason})"
        low, high = self.decay_intervals[name]
        flat = f", flat {' and '.join(self.unbounded[name])}" if name in self.unbounded else ""
        return f"{name} {number(decay.value)} [{number(low)}, {number(high)}{flat}]"

    def details(self) -> dict[str, Any]:
        fit = self.new.fit
        return {
            "n_coefficient": fit.G / fit.surface.cost.k**fit.a,
            "n_new": len(self.new.data),
            "n_repeated": len(self.runs),
            "most_epochs": float(np.max(self.runs.n_tokens / self.runs.unique)),
            "rms": self.misfit,
            "intervals_profile": {
                **{name: found.interval for name, found in self.new.profiles.items()},
                **{n: d.interval for n, d in self.decays.items() if not (d.fixed or d.reason)},
            },
            "flat": [*(n for n, p in self.new.profiles.items() if p.flat), *self.unbounded],
            "fixed": dict(self.config.fixed),
            "reasons": {n: d.reason for n, d in self.decays.items() if d.reason},
        }


def _repeated(data: FitInput, rows: np.ndarray) -> RepeatedRuns:
    assert data.epochs is not None  # checked where the approach is fitted
    runs, epochs = data.runs, data.epochs[rows]
    tokens = runs.n_tokens[rows]
    return RepeatedRuns(runs.n_params[rows], tokens, tokens / epochs, runs.loss[rows])


def _open_ended(interval: Interval) -> Interval:
    """The interval with an end at the edge of what was searched as no bound."""
    low, high = interval
    return 0.0 if low < 1.01 * LEAST else low, float("inf") if high > 0.99 * MOST else high
