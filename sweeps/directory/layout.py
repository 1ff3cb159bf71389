"""A sweep's directory: where its files lie, which runs it has, and writing a plan into it."""

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.plan.expand import Expansion, LeftOut, PlannedRun
from train.config.run_config import job_to_json
from train.config.spec import IsoflopError
from train.rundir.atomic import write_atomic, write_json
from train.rundir.record import RunPaths, write_job

FLAT_LIMIT = 1000
"""Sweeps of more runs than this spread their run directories over 256 folders by run_id."""

_SHARD = re.compile(r"[0-9a-f]{2}")


class StoreError(IsoflopError):
    """A sweep directory that can't be used."""


@dataclass(frozen=True)
class SweepPaths:
    """Where everything of one sweep lies."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "sweep.yaml"

    @property
    def plan(self) -> Path:
        return self.root / "plan.jsonl"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def trunks(self) -> Path:
        return self.root / "trunks"

    @property
    def slurm(self) -> Path:
        return self.root / "slurm"

    def table(self, name: str) -> Path:
        return self.root / f"{name}.parquet"


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


def run_id_of(run_dir: Path) -> str | None:
    """The run_id that spec.json states, unchecked; None where the file is missing or damaged."""
    content = _json_or_none(RunPaths(run_dir).spec)
    value = content.get("run_id") if isinstance(content, dict) else None
    return value if isinstance(value, str) else None


def _json_or_none(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def placed(root: Path, runs: list[PlannedRun]) -> dict[str, Path]:
    """run_id -> directory: wherever the run lies already, else its place in this sweep.

    A run is known by the run_id in its spec.json, so that renaming a grid retrains nothing.
    """
    paths = SweepPaths(root)
    present = run_dirs(root) if paths.runs.is_dir() else []
    known = {run_id: path for path in present if (run_id := run_id_of(path)) is not None}
    by_name = {path.name: path for path in present}
    sharded = len(runs) > FLAT_LIMIT

    def place(run: PlannedRun) -> Path:
        home = paths.runs / run.run_id[:2] if sharded else paths.runs
        return known.get(run.run_id) or by_name.get(run.dir_name) or home / run.dir_name

    return {run.run_id: place(run) for run in runs}


def create_run(run_dir: Path, run: PlannedRun, overrides: list[str]) -> bool:
    """Make a run's spec.json say what the plan says; True where a damaged one was restored.

    The plan knows every spec, so a torn or edited spec.json is written anew and the run's metrics,
    state and record stay; so is one whose labels or ways of execution changed.
    """
    spec = RunPaths(run_dir).spec
    wanted = job_to_json(run.job)
    present = _json_or_none(spec)
    if _same(present, wanted):
        return False
    if present is None and not (run_dir.is_dir() and any(run_dir.iterdir())):
        write_job(run_dir, run.job, overrides)
        return False
    write_json(spec, wanted)
    return not isinstance(present, dict) or not _same(present.get("spec"), wanted["spec"])


def _same(present: Any, wanted: Any) -> bool:
    """Equality as JSON text: to Python, true equals 1, and a spec that says so has another hash."""
    return json.dumps(present, sort_keys=True) == json.dumps(wanted, sort_keys=True)


def write_plan(
    root: Path, expansion: Expansion, places: dict[str, Path], seconds: list[float]
) -> None:
    """plan.jsonl: a line a run with its directory and predicted seconds, then cells left out."""
    lines = [
        {
            "status": "planned",
            "dir": str(places[run.run_id].relative_to(root)),
            "n_params": run.n_params,
            "n_tokens": run.n_tokens,
            "flops": run.flops,
            "flops_to_spend": run.flops_to_spend,
            "trunk_id": run.trunk_id,
            "predicted_seconds": round(predicted, 3),
            **job_to_json(run.job),
        }
        for run, predicted in zip(expansion.runs, seconds, strict=True)
    ]
    lines += [_left_out_row(cell) for cell in expansion.left_out]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_atomic(SweepPaths(root).plan, text)


def _left_out_row(cell: LeftOut) -> dict[str, Any]:
    row = dataclasses.asdict(cell)
    return {"status": row.pop("kind"), **row}


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
