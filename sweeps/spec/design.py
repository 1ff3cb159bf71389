"""What a search for a design and a test of a fit are asked to do."""

import math
from dataclasses import dataclass, field
from typing import Any

from train.config.spec import one_of, require

KINDS = ("isoflop", "grid")


LEAST_SIZES = 4
"""Sizes that a budget must keep for its profile to be read with an error."""


@dataclass(frozen=True)
class DesignSpec:
    """What a search for a design goes through; every combination is one candidate.

    `budgets` and `sizes` are counts along the two sides; `reach` is the factor from the best size
    to the outermost; `spans` are ratios of the largest budget to the smallest: the wider, the
    tighter the exponent, for as long as the smallest runs obey the same law. The `best` ones are
    simulated `replicates` times. `by` is the quantity whose interval is to be tight.
    """

    kinds: list[str] = field(default_factory=lambda: list(KINDS))
    budgets: list[int] = field(default_factory=lambda: [3, 4, 5, 7])
    sizes: list[int] = field(default_factory=lambda: [5, 6, 8, 10])
    reach: list[float] = field(default_factory=lambda: [2.0, 4.0, 8.0])
    spans: list[float] = field(default_factory=lambda: [10.0, 30.0, 100.0])
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    by: str = "a"
    best: int = 3
    replicates: int = 100

    def __post_init__(self) -> None:
        for kind in self.kinds:
            one_of("design.kinds", kind, KINDS)
        one_of("design.by", self.by, ("a", "b", "E"))
        least = {"budgets": 2, "sizes": LEAST_SIZES, "seeds": 1, "reach": 1.1, "spans": 2}
        for name, bound in least.items():
            values = getattr(self, name)
            require(len(values) > 0, f"design.{name} is empty; give at least one value")
            for value in values:
                require(value >= bound, f"design.{name} has {value}; expected at least {bound}")
        require(self.best >= 1, f"design.best={self.best} must be at least 1")
        require(
            self.replicates >= 20,
            f"design.replicates={self.replicates} are too few to see a spread; use at least 20",
        )


APPROACHES = ("isoflop", "parametric", "envelope")


@dataclass(frozen=True)
class ValidateSpec:
    """How a fit is put to the test; the seeds are the sweep's own.

    `approach` None is the one that the fit's report decides by. `budget` is in FLOPs; None is
    `budget_factor` times the most that a fitted run took, to two digits. The alternative has
    `params_factor` times the optimum's parameters; a list of factors makes as many alternatives.
    """

    approach: str | None = None
    budget: float | None = None
    budget_factor: float = 4.0
    params_factor: Any = 4.0

    def __post_init__(self) -> None:
        if self.approach is not None:
            one_of("validate.approach", self.approach, APPROACHES)
        for name in ("budget", "budget_factor"):
            value = getattr(self, name)
            require(value is None or value > 0, f"validate.{name}={value} must be positive")
        require(
            len(self.params_factors) > 0,
            "validate.params_factor is empty; give the alternative's factor, such as 4, Gopher's",
        )
        for factor in self.params_factors:
            require(
                isinstance(factor, (int, float)) and 0 < factor < math.inf,
                f"validate.params_factor={factor!r} must be a positive number",
            )
            require(
                factor != 1,
                "validate.params_factor=1 makes the alternative the optimum itself; 4 is Gopher's",
            )
        require(
            len(set(self.params_factors)) == len(self.params_factors),
            f"validate.params_factor={self.params_factors} names one alternative twice",
        )

    @property
    def params_factors(self) -> list[float]:
        given = self.params_factor
        return list(given) if isinstance(given, (list, tuple)) else [given]


@dataclass(frozen=True)
class TuneSpec:
    """How `isoflop sweep tune` searches the rate of each cell.

    `factor` is from the guess to the first rates beside it; the search ends where the best rate's
    neighbours lie within a factor `within` of one another, or after `most` rates.
    """

    factor: float = 2.0
    within: float = 2.0
    most: int = 9

    def __post_init__(self) -> None:
        for name in ("factor", "within"):
            value = getattr(self, name)
            require(1.05 <= value <= 100, f"tune.{name}={value} must lie between 1.05 and 100")
        require(self.most >= 4, f"tune.most={self.most}: a parabola takes at least 4 rates")
