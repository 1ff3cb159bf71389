"""Power laws through a table of optima (C, N_opt, D_opt), whose runs nobody has."""

from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError
from analysis.stats.power_law import PowerLaw, fit_power_law
from analysis.stats.resampling import Interval
from analysis.studies.allocation import NEAR
from analysis.studies.approaches.isoflop import LEAST_MINIMA
from analysis.studies.approaches.objections import no_law, unstable
from analysis.studies.minima.line import LineLaw, fit_losses


@dataclass(frozen=True)
class Advice:
    """The optimum at one budget; NaN where the laws have an objection."""

    flops: float
    n_opt: float
    n_interval: Interval
    d_opt: float
    d_interval: Interval
    beyond: float
    """Factor by which the budget lies outside the optima; 1 within."""


@dataclass(frozen=True, eq=False)
class OptimaLaw:
    """N_opt ~ C^a and D_opt ~ C^b through optima, (optima,) each.

    Attributes:
        loss: The law of the least loss, where losses were given; None with a `loss_reason`.
        objections: Why the laws may not be used beyond what they are fitted to.
    """

    flops: np.ndarray
    n_opt: np.ndarray
    d_opt: np.ndarray
    n_law: PowerLaw
    d_law: PowerLaw
    loss: LineLaw | None
    loss_reason: str
    objections: tuple[str, ...]

    def optimal(self, flops: float) -> Advice:
        """N and D for one budget with 95 % intervals by Student's t."""
        factor = max(flops / float(self.flops.max()), float(self.flops.min()) / flops)
        bands = [law.band(np.array([flops])) for law in (self.n_law, self.d_law)]
        (n, d) = (float(law(flops)) for law in (self.n_law, self.d_law))
        spans = [(float(low[0]), float(high[0])) for low, high in bands]
        return Advice(flops, n, spans[0], d, spans[1], factor if factor > NEAR else 1.0)


def fit_optima(
    flops: np.ndarray, n_opt: np.ndarray, d_opt: np.ndarray, loss: np.ndarray | None = None
) -> OptimaLaw:
    """Laws through optima, each counted alike, since nobody knows their errors.

    Args:
        flops: Budgets, (optima,), > 0; the others likewise.
        n_opt: Best parameters.
        d_opt: Best tokens.
        loss: Least losses, NaN or None for not known.

    Raises:
        FitError: Fewer than three budgets.
    """
    order = np.argsort(flops)
    c, n, d = (np.asarray(x, dtype=float)[order] for x in (flops, n_opt, d_opt))
    if len(np.unique(c)) < LEAST_MINIMA:
        raise FitError(
            f"{len(np.unique(c))} budget(s); laws through optima need {LEAST_MINIMA}, of which "
            f"two determine a line and the third tests it"
        )
    n_law, d_law = fit_power_law(c, n), fit_power_law(c, d)
    objections = (*no_law(n_law.exponent), *unstable(c, n, n_law.exponent))
    known = None if loss is None else np.asarray(loss, dtype=float)[order]
    law, reason = None, "the table has no losses, so how the least loss falls is not known"
    if known is not None and np.isfinite(known).any():
        try:
            held = np.isfinite(known)
            law, reason = fit_losses(c[held], known[held]), ""
        except FitError as error:
            reason = str(error)
    return OptimaLaw(c, n, d, n_law, d_law, law, reason, objections)
