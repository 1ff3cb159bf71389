"""The optimiser and its settings."""

from dataclasses import dataclass

from train.config.errors import at_least, one_of, positive, require
from train.config.identity import added

OPTIMIZERS = ("adamw", "muon")

MUON_RATES = {"match_rms_adamw": None, "original": 0.02}
"""Scales of Muon's updates, and the peak rate that goes with each; None is AdamW's own.

Source:  Liu et al. 2025 (Muon is Scalable for LLM Training, section 2.2): updates of AdamW's size,
so that its rate and decay serve; Jordan et al. 2024 (Muon): 0.02 for matrices.
"""


@dataclass(frozen=True)
class OptimSpec:
    """The optimiser; None means given by the named rule from the run's real N and D.

    `parametrization`: how initialisation and rates follow width (`train.model.parametrization`).
    `optimizer`: adamw, or muon for the matrices of layers with AdamW for embeddings, head and
    vectors. `lr_matrices` is the peak rate of those matrices, and `muon_scale` by what Muon's
    updates are multiplied: match_rms_adamw (0.2 sqrt of the longer side, so that AdamW's rate and
    decay serve; lr_matrices is lr_peak where it is not set) or original (sqrt of rows over columns,
    at least 1; 0.02 where it is not set).

    Examples:
        >>> from isoflop import OptimSpec
        >>> OptimSpec(lr_peak=3e-3, batch_tokens=65536).beta1
        0.9
    """

    rule: str = "default"
    parametrization: str = "standard"
    lr_peak: float | None = None
    batch_tokens: int | None = None
    weight_decay: float | None = None
    beta1: float = 0.9
    beta2: float | None = None
    eps: float = 1e-8
    grad_clip: float = 1.0
    optimizer: str = added("adamw")
    lr_matrices: float | None = added(None)
    muon_scale: str = added("match_rms_adamw")
    muon_momentum: float = added(0.95)

    def __post_init__(self) -> None:
        positive("optim.", self, "lr_peak", "batch_tokens", "eps", "grad_clip", "lr_matrices")
        one_of("optim.optimizer", self.optimizer, OPTIMIZERS)
        one_of("optim.muon_scale", self.muon_scale, tuple(MUON_RATES))
        one_of("optim.parametrization", self.parametrization, ("standard", "completep"))
        at_least(0, "optim.", self, "weight_decay")
        for name in ("lr_matrices", "muon_scale", "muon_momentum"):
            default = type(self).__dataclass_fields__[name].default
            require(
                self.optimizer == "muon" or getattr(self, name) == default,
                f"optim.{name}={getattr(self, name)} has no meaning for "
                f"optim.optimizer={self.optimizer}; it belongs to optimizer=muon",
            )
        for name in ("beta1", "beta2", "muon_momentum"):
            value = getattr(self, name)
            require(value is None or 0 <= value < 1, f"optim.{name}={value} must lie in [0, 1)")
