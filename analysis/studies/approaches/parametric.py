"""Approach 3 as a fitted approach: the parametric surface."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from analysis.data.run_arrays import FitInput
from analysis.errors import Numbers, Status
from analysis.fits.data_constrained import DECAYS
from analysis.fits.parametric.fit import ParametricFit, pose, solve
from analysis.fits.parametric.lbfgs import HOFFMANN, fit_lbfgs
from analysis.fits.parametric.profile_likelihood import Profile, profile, profiled
from analysis.fits.surface import PARAMETERS, Allocation, Surface
from analysis.stats.resampling import Interval
from analysis.studies.approaches.fitted_approach import NO_INTERVAL, SingleFit
from analysis.studies.approaches.objections import misfit
from analysis.studies.bootstrap import parametric_draws, parametric_intervals
from analysis.studies.fit_config import FitConfig


@dataclass(frozen=True, eq=False, kw_only=True)
class ParametricApproach(SingleFit):
    """See `analysis.fits.parametric`; intervals by bootstrap or profile, as configured."""

    fit: ParametricFit
    name: ClassVar[str] = "parametric"

    @classmethod
    def fitted(cls, data: FitInput, config: FitConfig) -> Self:
        runs = data.runs
        problem = pose(
            runs.n_params,
            runs.n_tokens,
            runs.loss,
            data.weights,
            config.delta,
            config.reduction,
            config.above,
            {name: value for name, value in config.fixed.items() if name not in DECAYS},
            runs.cost,
            residual=config.residual,
            tied=config.tied,
        )
        fit = fit_lbfgs(problem, [HOFFMANN])[0] if config.solver == "lbfgs" else solve(problem)
        return cls(data=data, config=config, fit=fit)

    @property
    def parameters(self) -> dict[str, float]:
        return {name: getattr(self.fit, name) for name in (*PARAMETERS, "a", "b", "G")}

    @property
    def usable(self) -> bool:
        return self.fit.usable

    def doubts(self) -> list[str]:
        return misfit(self.quality)

    @property
    def n_free(self) -> int:
        return self.fit.problem.n_free

    @cached_property
    def profiles(self) -> dict[str, Profile]:
        """Profile likelihoods of what is left free, by name."""
        if self.status != "converged":
            return {}
        return {name: profile(self.fit, name) for name in profiled(self.fit)}

    @property
    def surface(self) -> Surface:
        return self.fit.surface

    @cached_property
    def surface_draws(self) -> Surface | None:
        if self.resamples is None or self.status != "converged":
            return None
        return parametric_draws(self.fit, self.resamples, self.data.best_of)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        if self.config.interval == "bootstrap" and self.surface_draws is not None:
            return parametric_intervals(self.surface_draws)
        return {name: found.interval for name, found in self.profiles.items()}

    @property
    def irreducible_loss(self) -> tuple[float, Interval, Status, str]:
        shown = self.fit.E if self.usable else float("nan")
        return shown, self._interval_of_E(), self.status, self.reason

    def _interval_of_E(self) -> Interval:
        if self.surface_draws is not None or self.config.interval == "profile":
            return self.intervals.get("E", NO_INTERVAL)
        return NO_INTERVAL

    def optimal(self, flops: Numbers) -> Allocation:
        return self.fit.optimal(flops)

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard deviations of the bootstrap's draws; empty without one."""
        if self.surface_draws is None:
            return {}
        names = (*PARAMETERS, "a")
        return {
            name: float(np.std(np.asarray(getattr(self.surface_draws, name)))) for name in names
        }

    @property
    def printed(self) -> list[str]:
        values = "  ".join(f"{name} {getattr(self.fit, name):.6g}" for name in PARAMETERS)
        objective = f"objective {self.fit.objective:.10g}  {self.fit.problem.description}"
        lines = [f"{values}  {objective}"]
        if self.quality is not None:
            within = self.quality.rms_within_budgets
            about = "" if within is None else f", {within:.3g} within budgets"
            lines.append(
                f"rms of log residuals {self.quality.rms:.3g}{about}, explains "
                f"{100 * self.quality.share_explained:.4g} % of the spread"
            )
        if self.resamples is not None and self.standard_errors:
            errors = "  ".join(f"{p} {e:.6g}" for p, e in self.standard_errors.items())
            lines.append(f"standard errors of {len(self.resamples):,} resamples: {errors}")
        return lines

    def details(self) -> dict[str, Any]:
        fit = self.fit
        return {
            "objective": fit.objective,
            "gradient_norm": fit.gradient_norm,
            "objective_is": fit.problem.description,
            "residual": fit.problem.residual,
            "tied": fit.problem.tied,
            "delta": fit.problem.delta,
            "reduction": fit.problem.reduction,
            "above": fit.problem.above,
            "fixed": fit.problem.fixed,
            "n_basins": fit.n_basins,
            "condition": fit.condition,
            "intervals_profile": {name: p.interval for name, p in self.profiles.items()},
            "flat": [name for name, p in self.profiles.items() if p.flat],
            "standard_errors": self.standard_errors,
        }
