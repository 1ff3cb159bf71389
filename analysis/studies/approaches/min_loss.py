"""The least loss in compute by an approach without a surface: law, draws, what is missing."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError, Status
from analysis.fits.min_loss import loss_law_intervals
from analysis.fits.min_loss_law import E_POINTS, LossLaw
from analysis.stats.resampling import Interval, percentile_interval

_NONE: Interval = (float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class MinLoss:
    """L(C) = E + k C^-g through an approach's least losses; None with the reason in `missing`.

    Attributes:
        law: The law, None where the minima do not determine one.
        draws: Laws of redrawn minima, as one of arrays (draws, 1); None without an interval.
        missing: Reasons, under "NAME loss" and "NAME loss interval".
        caveat: What must be known of the law, empty for nothing.
    """

    name: str
    law: LossLaw | None
    draws: LossLaw | None
    missing: dict[str, str]
    caveat: str = ""

    @classmethod
    def made(
        cls,
        name: str,
        law: Callable[[], LossLaw],
        draws: Callable[[LossLaw], LossLaw] | None = None,
        caveat: str = "",
    ) -> "MinLoss":
        """Fit the law and draw from it; what raises FitError is missing, with that reason."""
        missing: dict[str, str] = {}
        found = drawn = None
        try:
            found = law()
        except FitError as error:
            missing[f"{name} loss"] = str(error)
        if found is not None and draws is not None:
            try:
                drawn = draws(found)
            except FitError as error:
                missing[f"{name} loss interval"] = str(error)
        return cls(name, found, drawn, missing, caveat)

    @property
    def intervals(self) -> dict[str, Interval]:
        """Of E and g."""
        return {} if self.draws is None else loss_law_intervals(self.draws)

    @property
    def reason(self) -> str:
        """Why there is no law or no interval, or what must be known of them."""
        if self.law is None:
            return self.missing.get(f"{self.name} loss", "")
        unknown = self.missing.get(f"{self.name} loss interval", "")
        return "; ".join(filter(None, (self.law.reason or unknown, self.caveat)))

    @property
    def irreducible_loss(self) -> tuple[float, Interval, Status, str]:
        """E, its interval, status and reason.

        Raises:
            FitError: There is no law.
        """
        if self.law is None:
            raise FitError(self.reason)
        if self.law.n_points < E_POINTS or self.law.status == "degenerate":
            return float("nan"), _NONE, "degenerate", self.law.reason
        span = _NONE if self.draws is None else percentile_interval(np.ravel(self.draws.E))
        return float(self.law.E), span, self.law.status, self.law.reason

    def at(self, flops: np.ndarray) -> np.ndarray:
        """The least loss at each budget, NaN without a law, in the shape of `flops`."""
        if self.law is None or self.law.status == "degenerate":
            return np.full(np.shape(flops), np.nan)
        return np.asarray(self.law(flops))

    def interval(self, flops: float, largest: float) -> tuple[Interval, str]:
        """The interval of the least loss at a budget and what must be known of it.

        Args:
            flops: The budget.
            largest: The largest FLOPs of any run; what lies beyond is extrapolated.
        """
        if self.law is None or self.draws is None or self.law.status == "degenerate":
            return _NONE, self.reason
        if flops > largest * 1.05 and not self.law.extrapolates:
            beyond = "whose interval beyond the runs would be too narrow to print"
            return _NONE, f"{self.law.reason}, {beyond}"
        return percentile_interval(np.ravel(self.draws(flops))), self.law.reason

    def to_json(self) -> dict:
        """The law as fits.json has it, or why there is none."""
        if self.law is None:
            return {"status": "degenerate", "reason": self.reason}
        names = ("E", "k", "g", "n_points", "status", "reason")
        return {**{n: getattr(self.law, n) for n in names}, "intervals": self.intervals}
