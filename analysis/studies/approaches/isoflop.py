"""Approach 2 as a fitted approach: IsoFLOP profiles and the laws through their minima."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from analysis.data.run_arrays import FitInput
from analysis.errors import FitError, Numbers
from analysis.fits.isoflop import IsoflopFit, fit_isoflop
from analysis.fits.isoflop_profile import IsoflopProfile
from analysis.fits.min_loss import isoflop_loss_draws, isoflop_loss_law
from analysis.fits.surface import Allocation
from analysis.stats.power_law import PowerLaw
from analysis.stats.resampling import Interval
from analysis.studies.approaches.fitted_approach import OptimumIntervals, SingleFit
from analysis.studies.approaches.min_loss import MinLoss
from analysis.studies.approaches.objections import no_law, unstable
from analysis.studies.fit_config import FitConfig

LEAST_MINIMA = 3
"""Bracketed minima that a headline needs: two determine a line without a test of it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class IsoflopApproach(SingleFit):
    """See `analysis.fits.isoflop`; its intervals come from the minima's own errors."""

    fit: IsoflopFit
    name: ClassVar[str] = "isoflop"

    @classmethod
    def fitted(cls, data: FitInput, config: FitConfig) -> Self:
        rows = np.flatnonzero(np.isfinite(data.runs.budget))
        if not len(rows):
            raise FitError("no group of runs shares a compute budget; add a column flops_budget")
        used = data.runs.take(rows)
        fit = fit_isoflop(
            used.budget,
            used.n_params,
            used.n_tokens,
            used.loss,
            curve=config.curve,
            noise=_noise(data, config),
            weights=config.isoflop_weights,
        )
        return cls(data=data, config=config, fit=fit)

    @property
    def parameters(self) -> dict[str, float]:
        return {"a": self.fit.a, "b": self.fit.b}

    @property
    def usable(self) -> bool:
        return self.fit.n_law is not None and self.fit.d_law is not None

    @property
    def objections(self) -> tuple[str, ...]:
        found = []
        if len(self.fit.bracketed) < LEAST_MINIMA:
            found.append(
                f"{len(self.fit.bracketed)} bracketed minima; a headline needs {LEAST_MINIMA}"
            )
        kept = self.fit.bracketed
        flops, n_opt = (np.array([getattr(p, key) for p in kept]) for key in ("flops", "n_opt"))
        found += [*no_law(self.a), *unstable(flops, n_opt, self.a)]
        if not found and self.status != "converged":
            found.append(self.reason)
        return tuple(found)

    @property
    def preferable(self) -> bool:
        # Approach 3 uses all runs; budgets that were guessed from FLOPs that lie close do not.
        return self.data.budgets_given

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        if not self.usable:
            return {}
        n_law, d_law = self._laws
        return {"a": n_law.interval(), "b": d_law.interval()}

    @cached_property
    def min_loss(self) -> MinLoss:
        n_draws, rng = max(self.config.n_resamples, 1000), np.random.default_rng(self.config.seed)
        return MinLoss.made(
            self.name,
            lambda: isoflop_loss_law(self.fit),
            lambda law: isoflop_loss_draws(law, self.fit, n_draws, rng),
        )

    def optimal(self, flops: Numbers) -> Allocation:
        flops = np.asarray(flops, dtype=float)
        n_law, d_law = self._laws
        return Allocation(flops, n_law(flops), d_law(flops), self.min_loss.at(flops))

    def optimal_intervals(self, flops: float) -> OptimumIntervals:
        bands = [law.band(np.array([flops])) for law in self._laws]
        sizes, tokens = ((float(low[0]), float(high[0])) for low, high in bands)
        loss, reason = self.min_loss.interval(flops, float(self.data.runs.flops.max()))
        return OptimumIntervals(sizes, tokens, loss, reason)

    @property
    def _laws(self) -> tuple[PowerLaw, PowerLaw]:
        assert self.fit.n_law is not None and self.fit.d_law is not None  # usable
        return self.fit.n_law, self.fit.d_law

    def details(self) -> dict[str, Any]:
        fit = self.fit
        return {
            "curve": fit.curve,
            "weights": self.config.isoflop_weights,
            "noise": fit.noise,
            "seed_noise": {"sd": fit.seed_noise[0], "freedom": fit.seed_noise[1]},
            "budgets": [_budget_json(profile) for profile in fit.profiles],
            "n_coefficient": fit.n_law.coefficient if fit.n_law else None,
            "d_coefficient": fit.d_law.coefficient if fit.d_law else None,
            "loss_law": self.min_loss.to_json(),
        }


def _noise(data: FitInput, config: FitConfig) -> float | None:
    """The seed noise that was given; of a cell's best run, which varies less, what follows."""
    if config.noise is None or data.best_of is None:
        return config.noise
    return float(np.sqrt(np.mean(data.best_of.sd**2)))


def _budget_json(profile: IsoflopProfile) -> dict[str, Any]:
    return {
        "flops": profile.flops,
        "n_opt": profile.n_opt,
        "n_opt_interval": profile.interval,
        "n_opt_interval_open": profile.open_ends,
        "d_opt": profile.d_opt,
        "d_opt_interval": profile.d_interval,
        "loss": profile.loss,
        "loss_interval": profile.loss_interval,
        "bracketed": profile.bracketed,
        "reason": profile.reason,
        "thin": profile.thin,
        "propose_n_params": profile.propose,
        "n_runs": len(profile.losses),
    }
