"""Approach 1 as a fitted approach: the envelope of training curves."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from analysis.data.run_arrays import Curves, FitInput, RunArrays
from analysis.data.training.smoothed import WINDOWS
from analysis.errors import FitError, Numbers
from analysis.fits.envelope import EnvelopeFit, fit_envelope, inner
from analysis.fits.min_loss import envelope_loss_law
from analysis.fits.surface import Allocation
from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies.approaches.fitted_approach import OptimumIntervals, SingleFit
from analysis.studies.approaches.min_loss import MinLoss
from analysis.studies.bootstrap import EnvelopeDraws, envelope_draws, exponent_intervals
from analysis.studies.fit_config import FitConfig

LEAST_SIZES = 2
"""Sizes inside the grid that a headline by the envelope needs: where the smallest or the largest
leads, a size beyond the grid might have done better."""

LOSS_CAVEAT = "losses inside decaying schedules lift it, which no interval over runs shows"
"""Why the envelope's loss has no interval: under a cosine the bootstrap's held the truth at the
largest budget in 0 to 56 % of simulated sweeps, without decay in 36 to 87 %
(benchmarks/coverage.py)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EnvelopeApproach(SingleFit):
    """See `analysis.fits.envelope`."""

    fit: EnvelopeFit
    name: ClassVar[str] = "envelope"

    @classmethod
    def fitted(cls, data: FitInput, config: FitConfig) -> Self:
        if data.curves is None or not len(data.curves):
            raise FitError(
                "the table has no training curves; the envelope needs losses along training"
            )
        return cls(data=data, config=config, fit=fit_envelope(data.curves, config.envelope))

    @property
    def parameters(self) -> dict[str, float]:
        return {"a": self.fit.a, "b": self.fit.b}

    @property
    def measured(self) -> RunArrays | Curves:
        """The points along training: a run of 100B tokens was seen at 10B too."""
        return self.data.runs if self.data.curves is None else self.data.curves

    @property
    def usable(self) -> bool:
        return self.fit.n_law is not None and self.fit.d_law is not None

    def doubts(self) -> list[str]:
        """A size that leads only because the grid ends there identifies nothing."""
        sizes = len(np.unique(inner(self.fit.points, self.data.runs.n_params).n_params))
        if sizes >= LEAST_SIZES:
            return []
        return [
            f"{sizes} of the sizes between the smallest and the largest lead the envelope, which "
            f"elsewhere rests on an end of the grid; a headline needs {LEAST_SIZES}"
        ]

    @cached_property
    def draws(self) -> EnvelopeDraws | None:
        """The envelopes of the resamples."""
        if self.resamples is None or self.status != "converged" or self.data.curves is None:
            return None
        read, config = self.data.curve_losses, self.config
        window = read.window if read is not None and read.window else WINDOWS[0]
        return envelope_draws(
            self.data.curves, self.resamples, config.envelope, config.seed, window
        )

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        return {} if self.draws is None else exponent_intervals(self.draws)

    @cached_property
    def min_loss(self) -> MinLoss:
        sizes = self.data.runs.n_params
        return MinLoss.made(
            self.name, lambda: envelope_loss_law(self.fit, sizes), caveat=LOSS_CAVEAT
        )

    def optimal(self, flops: Numbers) -> Allocation:
        assert self.fit.n_law is not None and self.fit.d_law is not None  # usable
        flops = np.asarray(flops, dtype=float)
        return Allocation(
            flops, self.fit.n_law(flops), self.fit.d_law(flops), self.min_loss.at(flops)
        )

    def optimal_intervals(self, flops: float) -> OptimumIntervals:
        reason = self.min_loss.reason
        if self.draws is None:
            return OptimumIntervals(loss_reason=reason)
        a, log_n, b, log_d = self.draws.laws.T
        sizes, tokens = (np.exp(level + p * np.log(flops)) for level, p in ((log_n, a), (log_d, b)))
        return OptimumIntervals(
            percentile_interval(sizes), percentile_interval(tokens), loss_reason=reason
        )

    def details(self) -> dict[str, Any]:
        losses = self.data.curve_losses
        return {
            "method": self.fit.method,
            "curve_loss": None if losses is None else asdict(losses),
            "n_points": len(self.fit.flops),
            "n_coefficient": self.fit.n_law.coefficient if self.fit.n_law else None,
            "d_coefficient": self.fit.d_law.coefficient if self.fit.d_law else None,
            "loss_law": self.min_loss.to_json(),
        }
