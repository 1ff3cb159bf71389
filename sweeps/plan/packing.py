"""How many runs share a GPU, or whether the CPU's cores take them all: the fastest that was timed.

A tiny model leaves a GPU idle between its kernels. Several such runs on one card, or one on each
core, may then be over sooner than one after the other; a large one gains nothing. What each way
takes was measured (`sweeps.launch.packing`); the choice follows by the plan's own model of time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweeps.plan.cost_model import Speed, seconds_left, wall_seconds
from sweeps.plan.expand import PlannedRun
from sweeps.plan.hardware_estimate import in_hours
from sweeps.plan.machine import gpu_names, visible_devices
from sweeps.spec.launcher import LauncherSpec
from train.config.decode import decode_stored
from train.config.spec import SpecError
from train.rundir.atomic import RecordError, read_json
from train.rundir.sweep_layout import SweepPaths


@dataclass(frozen=True)
class Way:
    """A way to place a sweep's runs: so many on each GPU; 0 is one on each core of the CPU."""

    runs_per_device: int = 1
    mps: bool = False

    @property
    def label(self) -> str:
        if not self.runs_per_device:
            return "on the CPU's cores"
        return f"{self.runs_per_device} a GPU" + (" with MPS" if self.mps else "")

    @property
    def key(self) -> str:
        """Of the measurement, in names of files; empty for a run alone."""
        if self.runs_per_device == 1:
            return ""
        return f"-{self.runs_per_device or 'cores'}-at-once" + ("-mps" if self.mps else "")

    def launcher(self, launcher: LauncherSpec) -> LauncherSpec:
        """The settings that place runs so."""
        if not self.runs_per_device:
            return replace(launcher, devices="none")
        return replace(launcher, runs_per_device=self.runs_per_device, mps=self.mps)


def way_of(launcher: LauncherSpec) -> Way:
    """How a launcher's settings place runs on the GPUs of this machine."""
    if launcher.kind != "pool":
        return Way()
    return Way(launcher.packed, bool(launcher.mps) and launcher.packed > 1)


@dataclass(frozen=True)
class TimedWay:
    """A way with the speed of one of its runs by size, and how many there are at once."""

    way: Way
    speeds: tuple[Speed, ...]
    workers: int

    def wall_seconds(self, left: Sequence[PlannedRun]) -> float:
        """Until the last of these runs is over."""
        return wall_seconds([(run, seconds_left(run, self.speeds)) for run in left], self.workers)


@dataclass(frozen=True)
class Packing:
    """The way that was taken, the predicted seconds of each by label, and the GPUs it was for."""

    way: Way
    wall_seconds: dict[str, float]
    gpu: str = ""
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """In words, for the plan."""
        walls = ", ".join(f"{label} {in_hours(s / 3600)}" for label, s in self.wall_seconds.items())
        said = "".join(f"; {note}" for note in self.notes)
        return (
            f"runs go {self.way.label}, the fastest as timed ({walls}){said}; "
            f"launcher.runs_per_device=N decides otherwise"
        )


def fastest(ways: Sequence[TimedWay], left: Sequence[PlannedRun]) -> tuple[TimedWay, Packing]:
    """The way by which what is left is over first; of equals the first.

    Raises:  ValueError: there is no way.
    """
    walls = {timed.way.label: timed.wall_seconds(left) for timed in ways}
    best = min(ways, key=lambda timed: walls[timed.way.label])
    return best, Packing(best.way, walls)


def stored_packing(root: Path) -> Packing | None:
    """The choice of an earlier launch of the sweep; None where there is none that can be read."""
    try:
        return decode_stored(Packing, read_json(SweepPaths(root).packing), "packing.json")
    except (RecordError, SpecError):
        return None


def placed_by(launcher: LauncherSpec, root: Path) -> LauncherSpec:
    """The launcher with what was chosen for the sweep on such GPUs, where settings leave it open.

    A choice stays, so that a launch that goes on predicts from what it has trained.
    """
    if launcher.kind != "pool" or launcher.runs_per_device is not None:
        return launcher
    packing = stored_packing(root)
    if packing is None or packing.gpu != gpu_of(visible_devices(launcher)):
        return launcher
    return packing.way.launcher(launcher)


def gpu_of(devices: Sequence[str]) -> str:
    """The name of the first of these GPUs, empty where there is none."""
    return next(iter(gpu_names(devices[:1]).values()), "") if devices else ""
