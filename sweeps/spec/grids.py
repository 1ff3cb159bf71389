"""What a sweep is: named grids of cells, their seeds and bounds, and how its runs are launched."""

import itertools
import math
import re
from dataclasses import dataclass, field
from typing import Any

from sweeps.spec.heads import HEAD_RULES
from train.config.spec import SpecError, one_of, require

KINDS = ("isoflop", "grid", "ladder")
BASE_PARTS = ("model", "data", "optim", "schedule", "precision")
"""The parts of a RunSpec that one grid may change for itself."""

AXES = {
    "lr_peak": "optim",
    "batch_tokens": "optim",
    "weight_decay": "optim",
    "warmup_tokens": "schedule",
}
"""Settings that a grid may cross its cells with, and the part of a RunSpec that holds each."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Bounds:
    """Cells outside these are dropped, each with its reason; None is no bound.

    `max_epochs` can only tighten `data.max_epochs`, which belongs to the run itself.
    """

    min_steps: int | None = None
    max_steps: int | None = None
    min_tokens_per_param: float | None = None
    max_tokens_per_param: float | None = None
    max_epochs: float | None = None
    max_flops: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(value is None or value > 0, f"bounds.{name}={value} must be positive")
        for low, high in (
            ("min_steps", "max_steps"),
            ("min_tokens_per_param", "max_tokens_per_param"),
        ):
            least, most = getattr(self, low), getattr(self, high)
            require(
                least is None or most is None or least <= most,
                f"bounds.{low}={least} lies above bounds.{high}={most}; no cell can pass",
            )


@dataclass(frozen=True)
class GridSpec:
    """One rectangle of cells: shapes along one side, horizons along the other.

    Shapes, exactly one of: `d_models` (widths of the ladder), `n_params` (targets, each taken to
    the nearest shape), `shapes` (explicit model fields), `init_from` (checkpoints that runs begin
    with: runs, directories, names on Hugging Face's hub, or patterns such as results/x/runs/*).
    Horizons by kind: isoflop takes `budgets` in FLOPs, D following as C / FLOPs per token; grid
    takes `n_tokens`; ladder takes one `n_tokens` or any `tokens_per_param`. `base` changes parts of
    the sweep's base run for this grid alone; `seeds` and `bounds`, where given, replace its own.

    `lr_peak`, `batch_tokens`, `weight_decay` and `warmup_tokens` are further sides: every cell is
    trained under each combination of their values, instead of what the rule says. Plan, status and
    report name the best of each cell.

    `branch` (schedule wsd alone): the cells of one shape share a trunk, from which each decays. For
    that they take batch, learning rate, weight decay and betas of their longest cell that is
    trained, and the warm-up of their shortest (`sweeps.branch`).
    """

    kind: str = "isoflop"
    d_models: list[int] = field(default_factory=list)
    n_params: list[float] = field(default_factory=list)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    budgets: list[float] = field(default_factory=list)
    n_tokens: list[float] = field(default_factory=list)
    tokens_per_param: list[float] = field(default_factory=list)
    seeds: list[int] | None = None
    bounds: Bounds | None = None
    base: dict[str, Any] = field(default_factory=dict)
    branch: bool = False
    lr_peak: list[float] = field(default_factory=list)
    batch_tokens: list[int] = field(default_factory=list)
    weight_decay: list[float] = field(default_factory=list)
    warmup_tokens: list[float] = field(default_factory=list)
    init_from: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        _exactly_one(self, ("d_models", "n_params", "shapes", "init_from"), "shapes")
        allowed = {
            "isoflop": ("budgets",),
            "grid": ("n_tokens",),
            "ladder": ("n_tokens", "tokens_per_param"),
        }[self.kind]
        _exactly_one(self, allowed, f"horizons of kind={self.kind}")
        for name in {"budgets", "n_tokens", "tokens_per_param"} - set(allowed):
            require(
                not getattr(self, name),
                f"{name}={getattr(self, name)} has no meaning for kind={self.kind}, which takes "
                f"{' or '.join(allowed)}",
            )
        require(
            self.kind != "ladder" or len(self.n_tokens) <= 1,
            f"a ladder has one n_tokens; got {self.n_tokens}; use kind=grid for several",
        )
        for name in ("d_models", "n_params", "budgets", "n_tokens", "tokens_per_param"):
            for value in getattr(self, name):
                require(value > 0 and math.isfinite(value), f"{name} has {value}; must be positive")
        _check_seeds(self.seeds)
        for part in self.base:
            require(
                part in BASE_PARTS,
                f"base.{part} can't be changed by a grid; expected one of {', '.join(BASE_PARTS)}",
            )
        for name in AXES:
            _check_axis(self, name)

    @property
    def horizons(self) -> list[tuple[str, float]]:
        """(HorizonSpec field, value) along the grid's second side."""
        sides = {"flops": self.budgets, "n_tokens": self.n_tokens}
        sides["tokens_per_param"] = self.tokens_per_param
        return [(name, value) for name, values in sides.items() for value in values]

    @property
    def settings(self) -> list[dict[str, float]]:
        """Every combination of the values of the grid's axes; one empty one without any."""
        axes = [[(name, value) for value in values] for name in AXES if (values := self.axis(name))]
        return [dict(combination) for combination in itertools.product(*axes)]

    def axis(self, name: str) -> list[float]:
        """The values of one of `AXES`; none where the grid has no such side."""
        return getattr(self, name)


@dataclass(frozen=True)
class SweepSpec:
    """A named union of grids; `seeds` and `bounds` hold for grids that set none of their own.

    Without grids it names a directory, and can't be expanded. The rest is for simulation
    (`sweeps.simulate.simulate`): the `surface` that losses are drawn from, the `noise` of log L
    between seeds (default: a measured one), and by what share the smallest model is undertuned.
    `early_stop` is the share of its tokens from which a run in progress is stopped if its predicted
    end lies above those of all its alternatives (`sweeps.manage.early_stop`); None for never.
    `head_rule`: ladder (grids on the same data share one head size, `sweeps.spec.heads`) | width
    (each width has its own, as in the first release; stored sweeps that don't say have it).
    """

    name: str = "sweep"
    seeds: list[int] = field(default_factory=lambda: [0])
    bounds: Bounds = field(default_factory=Bounds)
    grids: dict[str, GridSpec] = field(default_factory=dict)
    surface: str | None = None
    noise: float | None = None
    undertuning: float = 0.0
    early_stop: float | None = None
    head_rule: str = "width"

    def __post_init__(self) -> None:
        one_of("sweep.head_rule", self.head_rule, HEAD_RULES)
        require(
            self.early_stop is None or 0 < self.early_stop < 1,
            f"sweep.early_stop={self.early_stop} must lie between 0 and 1: the share of its tokens "
            f"from which a run may be stopped",
        )
        for name in ("noise", "undertuning"):
            value = getattr(self, name)
            require(
                value is None or 0 <= value < 1,
                f"sweep.{name}={value} must lie in [0, 1): it is a share of the loss",
            )
        for what, name in [("sweep.name", self.name), *(("a grid's name", g) for g in self.grids)]:
            require(
                _NAME.fullmatch(str(name)) is not None,
                f"{what}={name!r} must be letters, digits, '_', '-', '.': it names a directory",
            )
        require(len(self.seeds) > 0, "sweep.seeds is empty; give at least one, for example [0]")
        _check_seeds(self.seeds)


def _exactly_one(grid: GridSpec, names: tuple[str, ...], what: str) -> None:
    given = [name for name in names if getattr(grid, name)]
    if len(given) != 1:
        raise SpecError(
            f"{what} need {'exactly one of ' if len(names) > 1 else ''}{', '.join(names)}; "
            f"got {', '.join(given) or 'none'}"
        )


def _check_axis(grid: GridSpec, name: str) -> None:
    values, part = grid.axis(name), AXES[name]
    for value in values:
        positive = name in ("lr_peak", "batch_tokens")
        require(
            math.isfinite(value) and (value > 0 if positive else value >= 0),
            f"{name} has {value}; must be {'positive' if positive else 'at least 0'}",
        )
    require(len(set(values)) == len(values), f"{name}={values} has a value twice")
    changed = grid.base.get(part)
    require(
        not values or not isinstance(changed, dict) or changed.get(name) is None,
        f"{name}={values} is a side of the grid, and base.{part}.{name} sets it too; leave one out",
    )


def _check_seeds(seeds: list[int] | None) -> None:
    if seeds is None:
        return
    require(len(seeds) > 0, "seeds is empty; leave it out to use the sweep's")
    require(len(set(seeds)) == len(seeds), f"seeds={seeds} has a seed twice")
    for seed in seeds:
        require(0 <= seed < 2**31, f"seed={seed} must lie in [0, 2^31)")
