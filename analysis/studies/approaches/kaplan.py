"""The laws of Kaplan et al. 2020 as a fitted approach: the joint law and the frontier laws."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from analysis.data.run_arrays import FitInput
from analysis.errors import FitErrors, Numbers, Status
from analysis.fits.kaplan import KaplanJoint, fit_frontier, fit_joint
from analysis.fits.surface import Allocation
from analysis.stats.power_law import PowerLaw
from analysis.stats.resampling import Interval
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.bootstrap import kaplan_draws, kaplan_intervals
from analysis.studies.fit_config import FitConfig

LEAST_DELTA = 1e-6
"""The joint law's solver needs a Huber loss with a width; `fit.delta=0` asks for none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class KaplanApproach(FittedApproach):
    """See `analysis.fits.kaplan`; `frontier` holds the laws by variable (N, D, C), `reasons` why
    one is missing.
    """

    joint: KaplanJoint
    frontier: dict[str, PowerLaw]
    reasons: dict[str, str]
    name: ClassVar[str] = "kaplan"
    decides: ClassVar[bool] = False

    @classmethod
    def fitted(cls, data: FitInput, config: FitConfig) -> Self:
        runs, attempt = data.runs, FitErrors()
        columns = {"N": runs.n_params, "D": runs.n_tokens, "C": runs.flops}
        laws = {
            name: attempt(name, lambda x=x: fit_frontier(x, runs.loss))
            for name, x in columns.items()
        }
        delta = max(config.delta, LEAST_DELTA)
        joint = fit_joint(runs.n_params, runs.n_tokens, runs.loss, delta=delta, cost=runs.cost)
        frontier = {name: law for name, law in laws.items() if law is not None}
        return cls(
            data=data, config=config, joint=joint, frontier=frontier, reasons=attempt.missing
        )

    @property
    def status(self) -> Status:
        return self.joint.status

    @property
    def reason(self) -> str:
        return ""

    @property
    def parameters(self) -> dict[str, float]:
        names = ("N_c", "D_c", "alpha_N", "alpha_D", "a", "b")
        return {name: float(getattr(self.joint, name)) for name in names}

    @property
    def usable(self) -> bool:
        return self.status == "converged"

    @property
    def objections(self) -> tuple[str, ...]:
        return ("it has no irreducible loss",)

    @property
    def n_free(self) -> int:
        return 4

    @property
    def surface(self) -> KaplanJoint:
        return self.joint

    @cached_property
    def surface_draws(self) -> KaplanJoint | None:
        if self.resamples is None or not self.usable:
            return None
        delta = max(self.config.delta, LEAST_DELTA)
        return kaplan_draws(self.joint, self.data.runs, self.resamples, delta, self.data.best_of)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        return {} if self.surface_draws is None else kaplan_intervals(self.surface_draws)

    def optimal(self, flops: Numbers) -> Allocation:
        return self.joint.optimal(flops)

    def details(self) -> dict[str, Any]:
        return {
            "rms": self.joint.rms,
            "frontier": {
                f"L({name})": {
                    "coefficient": law.coefficient,
                    "exponent": law.exponent,
                    "interval": law.interval(),
                    "n_points": law.n_points,
                }
                for name, law in self.frontier.items()
            },
            "reasons": self.reasons,
        }
