"""One type for every fitted approach, so that what asks a fit for numbers need not know which.

Allocation, hold-out, counting conventions, recovery, fits.json and the printed lines are loops over
such objects. An approach keeps the runs and settings that it was fitted with: `refit` to other rows
takes the same settings, and intervals are always of the same problem as the point estimate.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from analysis.data.run_arrays import Curves, FitInput, RunArrays
from analysis.errors import FitError, Numbers, Status
from analysis.fits.surface import Allocation
from analysis.stats.goodness_of_fit import FitQuality, assess_fit
from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies.approaches.min_loss import MinLoss
from analysis.studies.approaches.objections import no_law
from analysis.studies.fit_config import FitConfig

NO_INTERVAL: Interval = (float("nan"), float("nan"))


class LossSurface(Protocol):
    """A loss for every N and D; its parameters are floats, or arrays of a bootstrap's draws."""

    def loss(self, n_params: Numbers, n_tokens: Numbers) -> Numbers: ...

    def optimal(self, flops: Numbers) -> Allocation: ...


@dataclass(frozen=True)
class OptimumIntervals:
    """95 % intervals of the optimum at one budget; NaN where there is none, for the reason given.

    `loss_reason` is what must be known of the loss or its interval, empty for nothing.
    """

    n_params: Interval = NO_INTERVAL
    n_tokens: Interval = NO_INTERVAL
    loss: Interval = NO_INTERVAL
    loss_reason: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedApproach(ABC):
    """One approach fitted to some runs under some settings.

    Attributes:
        data: The runs, their curves and their weights.
        config: The settings of the fit.
        resamples: How often each resample draws each run, (draws, runs); None for no bootstrap.
            Draws and intervals are made from it when they are first asked for.
    """

    data: FitInput
    config: FitConfig
    resamples: np.ndarray | None = None

    name: ClassVar[str]
    decides: ClassVar[bool] = True
    """Whether the approach may give the headline; Kaplan et al.'s is there to be compared with."""

    @classmethod
    @abstractmethod
    def fitted(cls, data: FitInput, config: FitConfig) -> Self:
        """Fit the approach.

        Raises:
            FitError: The runs cannot be fitted; the message is the reason.
        """

    @property
    @abstractmethod
    def status(self) -> Status: ...

    @property
    @abstractmethod
    def reason(self) -> str:
        """Why the status is not plainly converged, or what was lost on the way."""

    @property
    @abstractmethod
    def parameters(self) -> dict[str, float]:
        """Every fitted number by its name, `a` and `b` among them."""

    @property
    @abstractmethod
    def usable(self) -> bool:
        """Whether an optimum may be read from the fit at all."""

    @property
    @abstractmethod
    def objections(self) -> tuple[str, ...]:
        """Why the fit may not give the headline; empty where it may."""

    @property
    def preferable(self) -> bool:
        """Whether the approach goes before the next in rank, where neither has an objection."""
        return True

    @cached_property
    @abstractmethod
    def intervals(self) -> dict[str, Interval]:
        """95 % intervals of the parameters that have one."""

    @abstractmethod
    def optimal(self, flops: Numbers) -> Allocation:
        """Compute-optimal N, D and loss for budgets in FLOPs; a loss that is not known is NaN."""

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """What fits.json says of this approach beside the common numbers."""

    @property
    def a(self) -> float:
        """Exponent of N_opt ~ C^a."""
        return self.parameters["a"]

    @property
    def b(self) -> float:
        """Exponent of D_opt ~ C^b."""
        return self.parameters["b"]

    @property
    def measured(self) -> RunArrays | Curves:
        """Where losses were measured that the fit used; what lies outside is an extrapolation."""
        return self.data.runs

    @property
    def surface(self) -> LossSurface | None:
        """The law of the loss at any N and D; None for approaches that know the optimum alone."""
        return None

    @cached_property
    def surface_draws(self) -> LossSurface | None:
        """The surfaces of the resamples, as one of arrays (draws,)."""
        return None

    @property
    def rows(self) -> np.ndarray:
        """Which rows of the study's table the approach was fitted to, indices (runs,)."""
        return np.arange(len(self.data))

    @property
    def n_free(self) -> int:
        """Parameters of the surface that the runs determine."""
        return 0

    @cached_property
    def residuals(self) -> np.ndarray | None:
        """log L - log L_fit of each run, shape (runs,); None without a usable surface."""
        if self.surface is None or not self.usable:
            return None
        runs = self.data.runs
        return np.log(runs.loss / np.asarray(self.surface.loss(runs.n_params, runs.n_tokens)))

    @cached_property
    def quality(self) -> FitQuality | None:
        """How well the surface fits its own runs; None without a usable one."""
        runs, residuals = self.data.runs, self.residuals
        if residuals is None:
            return None
        _, cells = np.unique(np.stack([runs.n_params, runs.n_tokens]), axis=1, return_inverse=True)
        own = (residuals, runs.loss, cells.ravel(), runs.budget)
        return assess_fit(*own, self.n_free, self.data.best_of)

    @cached_property
    def min_loss(self) -> MinLoss | None:
        """The law of the least loss in compute, of approaches that have no surface."""
        return None

    @property
    def irreducible_loss(self) -> tuple[float, Interval, Status, str]:
        """E with its interval, and how far to trust it.

        Raises:
            FitError: The approach has no law with an irreducible loss.
        """
        if self.min_loss is None:
            raise FitError(f"the {self.name} approach has no irreducible loss")
        return self.min_loss.irreducible_loss

    @property
    def missing(self) -> dict[str, str]:
        """Reasons for what the approach could not give, by what it is."""
        return {} if self.min_loss is None else self.min_loss.missing

    @property
    def printed(self) -> list[str]:
        """Lines for the terminal below that of the exponents."""
        return []

    def loss(self, n_params: float, n_tokens: float) -> tuple[float, Interval]:
        """Predicted loss of one run with the 95 % interval of the law (not of a seed).

        Raises:
            FitError: The approach has no surface.
        """
        if self.surface is None:
            raise FitError(f"the {self.name} approach gives no loss away from the optimum")
        value = float(self.surface.loss(n_params, n_tokens))
        if self.surface_draws is None:
            return value, NO_INTERVAL
        with np.errstate(all="ignore"):  # draws without a finite loss become NaN and are counted
            drawn = np.asarray(self.surface_draws.loss(n_params, n_tokens))
        return value, percentile_interval(drawn)

    def optimal_intervals(self, flops: float) -> OptimumIntervals:
        """Intervals of `optimal` at one budget; here by the draws of the surface."""
        if self.surface_draws is None:
            return OptimumIntervals()
        with np.errstate(all="ignore"):  # draws without an optimum become NaN and are counted
            drawn = self.surface_draws.optimal(flops)
        columns = (drawn.n_params, drawn.n_tokens, drawn.loss)
        n_params, n_tokens, loss = (percentile_interval(np.asarray(column)) for column in columns)
        return OptimumIntervals(n_params, n_tokens, loss)

    def flops_for(self, n_params: float) -> float:
        """The budget for which a model size is the optimal one, FLOPs."""
        centre = float(np.exp(np.log(self.data.runs.flops).mean()))
        # Every approach has N_opt as a power law of C, so one point and the exponent are enough.
        return centre * (n_params / float(self.optimal(centre).n_params)) ** (1 / self.a)

    def refit(self, data: FitInput) -> Self:
        """The same approach under the same settings, fitted to other runs; without a bootstrap.

        Raises:
            FitError: These runs cannot be fitted.
        """
        return type(self).fitted(data, self.config)

    def resampled(self, resamples: np.ndarray | None) -> Self:
        """The fit with resamples to draw its intervals from, (draws, runs)."""
        return replace(self, resamples=resamples)

    def to_json(self) -> dict[str, Any]:
        """The approach as fits.json has it; numbers may still be numpy's, or not finite."""
        return {
            **self.parameters,
            "intervals": self.intervals,
            "status": self.status,
            "reason": self.reason,
            "objections": list(self.objections),
            "quality": None if self.quality is None else asdict(self.quality),
            **self.details(),
        }


class FitResult(Protocol):
    """What a fit of any form says of itself."""

    @property
    def status(self) -> Status: ...

    @property
    def reason(self) -> str: ...

    @property
    def a(self) -> float: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class SingleFit(FittedApproach):
    """An approach that is one fit, which has its status and its reason."""

    fit: FitResult

    @property
    def status(self) -> Status:
        return self.fit.status

    @property
    def reason(self) -> str:
        return self.fit.reason

    @property
    def objections(self) -> tuple[str, ...]:
        if self.status != "converged":
            return (self.reason or f"the fit is {self.status}",)
        return (*no_law(self.a), *self.doubts())

    def doubts(self) -> list[str]:
        """What speaks against the headline though the fit converged."""
        return []
