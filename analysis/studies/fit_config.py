"""Which runs are fitted and how: the settings behind conf/fit/."""

import logging
from dataclasses import dataclass, field

from analysis.data.training.choice import CHOICES
from analysis.fits.isoflop import WEIGHTS
from analysis.fits.isoflop_shapes import CURVES
from train.config.spec import one_of, require

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitConfig:
    """Which runs are fitted, and how; conf/fit/ holds the procedures of the literature by name.

    `valley` is the former name of `isoflop_curve`, and counts where it is given.
    """

    name: str = "default"
    data: str | None = None
    grid: str | None = None
    by: str | None = None
    where: list[str] = field(default_factory=list)
    drop_highest: int = 0
    best_of: list[str] | None = None
    max_epochs: float = 4.0
    approaches: list[str] = field(default_factory=lambda: list(APPROACHES))
    envelope: str = "bins"
    curve_loss: str = "auto"
    isoflop_curve: str = "softened"
    isoflop_weights: str = "errors"
    noise: float | None = None
    valley: str | None = None
    solver: str = "newton"
    loss: str = "loss"
    residual: str = "log"
    tied: bool = False
    delta: float = 1e-3
    reduction: str = "sum"
    above: float = 1.0
    weights: str | None = None
    fixed: dict[str, float] = field(default_factory=dict)
    cost: str = "fitted"
    n_resamples: int = 1000
    resample: str = "runs"
    draws: str = "numpy"
    seed: int = 0
    interval: str = "bootstrap"

    def __post_init__(self) -> None:
        for approach in self.approaches:
            one_of("fit.approaches", approach, APPROACHES)
        one_of("fit.envelope", self.envelope, ("bins", "hull"))
        one_of("fit.curve_loss", self.curve_loss, CHOICES)
        if self.valley is not None:
            log.warning("fit.valley is now called fit.isoflop_curve; please use the new name")
        one_of("fit.isoflop_curve", self.curve, tuple(CURVES))
        one_of("fit.isoflop_weights", self.isoflop_weights, WEIGHTS)
        require(
            self.noise is None or 0 < self.noise < 1,
            f"fit.noise={self.noise} must be between 0 and 1: the standard deviation of a loss "
            f"between seeds, as a share of the loss",
        )
        one_of("fit.solver", self.solver, ("newton", "lbfgs"))
        one_of("fit.residual", self.residual, ("log", "loss"))
        one_of("fit.reduction", self.reduction, ("sum", "mean"))
        one_of("fit.cost", self.cost, ("fitted", "6nd"))
        one_of("fit.draws", self.draws, ("numpy", "legacy"))
        one_of("fit.interval", self.interval, ("bootstrap", "profile"))
        require(
            self.delta >= 0,
            f"fit.delta={self.delta} must be >= 0 (0: absolute deviations, inf: least squares)",
        )
        require(
            not (self.tied and self.solver == "lbfgs"),
            "fit.tied=true needs fit.solver=newton; lbfgs repeats published fits, whose exponents "
            "are two",
        )
        require(self.above > 0, f"fit.above={self.above} must be positive")
        require(self.max_epochs >= 1, f"fit.max_epochs={self.max_epochs} must be at least 1")
        require(self.drop_highest >= 0, f"fit.drop_highest={self.drop_highest} must be >= 0")
        require(
            self.n_resamples == 0 or self.n_resamples >= 100,
            f"fit.n_resamples={self.n_resamples} is too few for a 95 % interval; use 0 for "
            f"none, or at least 100",
        )

    @property
    def loss_unit(self) -> str:
        """What the fitted losses are in, for axes and texts."""
        return LOSS_UNITS.get(self.loss, self.loss)

    @property
    def curve(self) -> str:
        """The kind of IsoFLOP profile, by its present or its former name."""
        return self.valley or self.isoflop_curve


LOSS_UNITS = {"loss": "nats/token", "bits_per_byte": "bits/byte"}
"""By the column that is fitted; any other column stands for itself."""

APPROACHES = ("envelope", "isoflop", "parametric", "kaplan")
