"""A sweep's directory: where its files lie and which runs it has; nothing else names them.

It stands here since whoever reads a sweep, planner, evaluation or analysis, needs it.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.config.spec import IsoflopError
from train.rundir.atomic import BAD_JSON
from train.rundir.record import Below, RunPaths

FLAT_LIMIT = 1000
"""Sweeps of more runs than this spread their run directories over 256 folders by run_id."""

_SHARD = re.compile(r"[0-9a-f]{2}")


class StoreError(IsoflopError):
    """A sweep directory that can't be used."""


@dataclass(frozen=True)
class SweepPaths:
    """Where everything of one sweep lies."""

    directory: Path

    config = Below("sweep.yaml")
    plan = Below("plan.jsonl")
    simulation = Below("simulation.json")
    """Present where nothing was trained: what the losses were drawn from."""
    packing = Below("packing.json")
    """Present where a launch has measured how many runs are to share a GPU."""
    prediction = Below("validation.json")
    """Present where the sweep tests a fit: what was predicted before it was trained."""
    analysis = Below("analysis")
    runs = Below("runs")
    logs = Below("logs")
    trunks = Below("trunks")
    slurm = Below("slurm")

    def table(self, name: str) -> Path:
        return self.directory / f"{name}.parquet"


def fits_file(place: Path) -> Path | None:
    """The fits.json of a sweep's directory, of an analysis' own one, or the file itself."""
    paths = (SweepPaths(place).analysis / "fits.json", place / "fits.json", place)
    return next((path for path in paths if path.is_file()), None)


def run_dirs(root: Path) -> list[Path]:
    """Every run directory of a sweep, in name order; one without spec.json counts as well.

    Raises:  StoreError: the sweep has no directory of runs.
    """
    runs = SweepPaths(root).runs
    if not runs.is_dir():
        raise StoreError(f"{root} holds no sweep (no {runs}); launch one there, or check out=DIR")
    found: list[Path] = []
    for entry in runs.iterdir():
        if _SHARD.fullmatch(entry.name):
            found.extend(child for child in entry.iterdir() if child.is_dir())
        elif entry.is_dir():
            found.append(entry)
    return sorted(found, key=lambda path: path.name)


def planned_ids(root: Path) -> frozenset[str] | None:
    """The run_ids of the sweep's plan; None where there is no plan that can be read whole.

    A grid that is edited under one name leaves runs behind that are in no plan. A plan with a torn
    row would make them of finished runs, which `clean` would then delete.
    """
    found = set()
    try:
        with SweepPaths(root).plan.open("rb") as file:
            for line in file:
                row = json.loads(line)
                if not line.endswith(b"\n") or not isinstance(row, dict) or "status" not in row:
                    return None
                if _is_planned(row):
                    found.add(str(row["run_id"]))
                elif row["status"] == "planned":
                    return None
    except (OSError, *BAD_JSON):
        return None
    return frozenset(found) or None


def planned_run_dirs(root: Path) -> list[Path]:
    """The run directories of the sweep's plan, or all where there is none, in name order.

    Raises:  StoreError: the sweep has no directory of runs.
    """
    ids, found = planned_ids(root), run_dirs(root)
    if ids is None:
        return found
    # A directory's name ends in its run_id, unless somebody renamed it.
    return [p for p in found if p.name.rpartition("-")[2] in ids or run_id_of(p) in ids]


def _is_planned(row: dict[str, Any]) -> bool:
    return row.get("status") == "planned" and isinstance(row.get("run_id"), str)


def run_id_of(run_dir: Path) -> str | None:
    """The run_id that spec.json states, unchecked; None where the file is missing or damaged."""
    content = json_or_none(RunPaths(run_dir).spec)
    value = content.get("run_id") if isinstance(content, dict) else None
    return value if isinstance(value, str) else None


def json_or_none(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, *BAD_JSON):
        return None


def prepare(root: Path) -> None:
    """Make the sweep's directory, or check that it can be one.

    Raises:  StoreError: it is a file, holds something else, or can't be written.
    """
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is a file; expected a directory: choose another out=DIR")
    paths = SweepPaths(root)
    if root.is_dir() and any(root.iterdir()) and not (paths.runs.exists() or paths.config.exists()):
        raise StoreError(f"{root} is not empty and holds no sweep; choose another out=DIR")
    try:
        paths.runs.mkdir(parents=True, exist_ok=True)
        paths.logs.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"can't create {root}: {error.strerror}; choose another out=DIR"
        ) from error


def relative_to_cwd(path: Path) -> str:
    """The path as people would type it: relative where it lies below the working directory."""
    cwd = Path.cwd()
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
