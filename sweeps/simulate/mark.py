"""The mark of a directory whose runs were simulated, and what refuses to train in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.config.spec import IsoflopError
from train.rundir.atomic import read_json
from train.rundir.sweep_layout import SweepPaths


class SimulationError(IsoflopError):
    """A sweep that can't be simulated as asked, or trained where it was simulated."""


def require_trained(root: Path, surface: str | None = None) -> None:
    """Check that a directory may be trained in, and that nobody meant to simulate.

    Raises:  SimulationError: its runs are simulated, so that they would count as done; or a
             surface was named, which training has no use for.
    """
    if surface is not None:
        raise SimulationError(
            f"sweep.surface={surface} is what launcher=simulate draws losses from, and this would "
            f"train; add launcher=simulate, or leave the surface out"
        )
    if mark(root) is not None:
        raise SimulationError(
            f"{root} holds simulated runs ({SweepPaths(root).simulation.name}), which would "
            f"count as done; "
            f"choose another out=DIR, or launcher=simulate to go on with it"
        )


def mark(root: Path) -> Mapping[str, Any] | None:
    """How a directory's runs were simulated; None where they were not."""
    path = SweepPaths(root).simulation
    return read_json(path) if path.exists() else None
