"""The loss along one line D = r N^s, from which no optimal size follows.

On a surface of approach 3 the loss along such a line is no single power law, but E and what lies
above it fall with compute, and over the range of runs L(C) = E + k C^-g describes them.
"""

from dataclasses import dataclass

import numpy as np

from analysis.data.run_arrays import RunArrays
from analysis.errors import FitError
from analysis.fits.input_checks import undetermined
from analysis.fits.min_loss_law import LossLaw, fit_loss_law, redrawn, refit_loss_law
from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies.approaches.fitted_approach import NO_INTERVAL
from analysis.studies.approaches.objections import MOST_SCATTER

N_DRAWS = 1000
FARTHEST = 10.0
"""Factor in compute beyond the runs to which losses are given: so far the intervals were judged
(benchmarks/coverage_line.py)."""

ON_ONE_LINE = "N and D lie on one line"


@dataclass(frozen=True, eq=False)
class LineLaw:
    """L(C) = E + k C^-g through single losses, with draws of their errors.

    Attributes:
        flops: Compute of the runs, (runs,).
        law: The fit.
        draws: The same of losses redrawn with the scatter about it.
        sd: That scatter of log loss, corrected for the law's parameters.
        objection: Why no number may be quoted, empty where it may.
    """

    flops: np.ndarray
    law: LossLaw
    draws: LossLaw
    sd: float
    objection: str

    @property
    def irreducible_loss(self) -> tuple[float, Interval]:
        """E with its interval; NaN where the law has none."""
        if self.objection or self.law.status != "converged" or not self.law.extrapolates:
            return float("nan"), NO_INTERVAL
        return float(self.law.E), percentile_interval(np.ravel(self.draws.E))

    @property
    def exponent(self) -> tuple[float, Interval]:
        """g with its interval."""
        return float(self.law.g), percentile_interval(np.ravel(self.draws.g))

    def loss(self, flops: float) -> tuple[float, Interval]:
        """Loss on the line at a budget, with the interval of the law.

        Raises:
            FitError: The budget lies more than ten times beyond the runs, or the law has an
                objection.
        """
        if self.objection:
            raise FitError(self.objection)
        if flops > FARTHEST * self.flops.max() or flops < self.flops.min() / FARTHEST:
            raise FitError(
                f"{flops:.3g} FLOPs lie more than {FARTHEST:g} times beyond the runs; intervals "
                f"were judged to there: train a run nearer"
            )
        with np.errstate(invalid="ignore"):
            drawn = np.ravel(self.draws(flops))
        return float(self.law(flops)), percentile_interval(drawn)


def on_one_line(runs: RunArrays) -> str:
    """What line the runs lie on, in words; empty where they lie on none."""
    said = undetermined(runs.n_params, runs.n_tokens, np.ones(len(runs)), {})
    return said if said.startswith(ON_ONE_LINE) else ""


def fit_losses(flops: np.ndarray, loss: np.ndarray, seed: int = 0) -> LineLaw:
    """L(C) = E + k C^-g through losses, all of one scatter.

    Raises:
        FitError: Fewer than five runs at four amounts of compute.
    """
    if len(loss) < 5:
        raise FitError(f"{len(loss)} runs; a law of the loss with its scatter needs 5")
    law = fit_loss_law(flops, loss)
    residuals = np.log(loss / np.asarray(law(flops)))
    freedom = len(loss) - (3 if law.extrapolates else 2)
    sd = float(np.sqrt(np.sum(residuals**2) / freedom))
    rng = np.random.default_rng(seed)
    fitted = np.asarray(law(flops))
    made = redrawn(fitted, sd**2 * np.eye(len(loss)), freedom, N_DRAWS, rng)
    draws = refit_loss_law(law, flops, made)
    objection = law.reason if law.status == "degenerate" else ""
    if not law.extrapolates:
        objection = objection or law.reason
    if sd > MOST_SCATTER:
        objection = objection or f"it misses its own runs by {100 * sd:.0f} %"
    return LineLaw(flops, law, draws, sd, objection)
