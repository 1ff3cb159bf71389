"""The configuration of `isoflop sweep`: the base run, the sweep, and what to do with it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweeps.spec.design import DesignSpec, TuneSpec, ValidateSpec
from sweeps.spec.grids import SweepSpec
from sweeps.spec.launcher import LauncherSpec
from sweeps.spec.shapes import widest
from train.config.run_config import RuntimeSpec, TrackerSpec
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    ModelSpec,
    OptimSpec,
    RunSpec,
    ScheduleSpec,
    one_of,
    require,
)
from train.speed.precision import realised_precision

ACTIONS = (
    *("plan", "launch", "status", "retry", "cancel", "clean", "collect", "sync"),
    *("design", "propose", "tune"),
)


@dataclass(frozen=True)
class AssumedData:
    """What a plan takes for granted of a hub dataset that is not on this machine (each part)."""

    n_train_tokens: float
    vocab_size: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(value >= 1, f"assume.{name}={value} must be at least 1")


@dataclass(frozen=True)
class SweepConfig:
    """Everything that `isoflop sweep` takes; `action` is its verb.

    `status` names the statuses that retry takes, `what` what clean deletes. `scale_memory` and
    `scale_time` multiply a Slurm job's resources on retry. `fit` names a fitted sweep to test as
    `validate` says (`sweeps.design.validate`); `force` accepts a degenerate fit. `assume` stands in
    for hub data in a plan, and `plan_only` is why a sweep is not for launching. `budget` is what
    all runs of a design or a proposal may cost in FLOPs; `design` is its search. `tune` is the
    search of learning rates, of which `dry_run` prints the first step.
    """

    data: DataSpec
    sweep: SweepSpec
    model: ModelSpec = field(default_factory=ModelSpec)
    optim: OptimSpec = field(default_factory=OptimSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    runtime: RuntimeSpec = field(default_factory=RuntimeSpec)
    tracker: TrackerSpec = field(default_factory=TrackerSpec)
    launcher: LauncherSpec = field(default_factory=LauncherSpec)
    precision: str = "fp32"
    action: str = "launch"
    watch: bool = False
    format: str = "table"
    status: Any = None
    what: Any = None
    out: str | None = None
    calibrate: bool = True
    scale_memory: float = 1.0
    scale_time: float = 1.0
    fit: str | None = None
    validate: ValidateSpec | None = None
    force: bool = False
    assume: AssumedData | None = None
    plan_only: str | None = None
    budget: float | None = None
    design: DesignSpec = field(default_factory=DesignSpec)
    tune: TuneSpec = field(default_factory=TuneSpec)
    dry_run: bool = False

    def __post_init__(self) -> None:
        one_of("action", self.action, ACTIONS)
        require(
            not self.dry_run or self.action == "tune",
            f"dry_run=true is for sweep tune, got {self.action}: sweep plan prints what a launch "
            f"would train, launcher.dry_run=true the scripts for Slurm",
        )
        one_of("format", self.format, ("table", "json"))
        require(
            self.budget is None or self.budget > 0,
            f"budget={self.budget} must be positive: FLOPs of all runs together",
        )

    @property
    def root(self) -> Path:
        simulated = "-simulated" if self.launcher.kind == "simulate" else ""
        return Path(self.out) if self.out else Path("results") / (self.sweep.name + simulated)

    @property
    def validates(self) -> bool:
        """Whether the grids follow from a fit instead of being given in the sweep."""
        return self.validate is not None or self.fit is not None

    @property
    def base(self) -> RunSpec:
        """What every grid starts from; its horizon is a placeholder that each cell replaces."""
        return RunSpec(
            data=self.data,
            horizon=HorizonSpec(n_tokens=1.0),
            model=self.model,
            optim=self.optim,
            schedule=self.schedule,
            precision=self.precision,
        )

    @property
    def run_settings(self) -> RuntimeSpec:
        """How each run is executed: the launcher decides its threads."""
        return replace(self.runtime, threads=self.launcher.threads)

    def settled(self) -> "SweepConfig":
        """The same configuration with the launcher's threads filled in from the runs', and
        precision=auto settled.

        Simulated runs take no time, so that no speed need be measured for them.
        """
        threads = self.launcher.threads_per_worker or self.runtime.threads
        calibrate = self.calibrate and self.launcher.kind != "simulate"
        launcher = replace(self.launcher, threads_per_worker=threads)
        if self.runtime.device == "cpu" and launcher.devices == "auto":
            launcher = replace(launcher, devices="none")  # else a worker a GPU, not a worker a core
        precision = self.precision
        if precision == "auto":
            width = widest(self.sweep, self.model)
            precision = realised_precision(
                "auto", self.runtime.device, width, launcher.kind, threads
            )
        return replace(self, launcher=launcher, calibrate=calibrate, precision=precision)


def names_of(value: Any) -> list[str]:
    """Names given as one name, several with commas, a list, or not at all."""
    if value is None:
        return []
    names = value if isinstance(value, list) else str(value).split(",")
    return [str(name).strip() for name in names]
