"""Writing a plan into a sweep's directory: where each run goes, its spec.json, and plan.jsonl."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from sweeps.plan.expand import Expansion, PlannedRun, SkippedCell
from sweeps.plan.hardware_estimate import checkpoint_bytes
from train.config.run_config import job_from_json, job_to_json
from train.config.spec import SpecError
from train.rundir.atomic import write_atomic, write_json
from train.rundir.record import RunPaths, write_job
from train.rundir.sweep_layout import FLAT_LIMIT, SweepPaths, json_or_none, run_dirs, run_id_of


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

    The plan knows every spec, so a torn or edited spec.json is written again and the run's metrics,
    state and record stay; so is one whose labels or ways of execution changed.
    """
    spec = RunPaths(run_dir).spec
    wanted = job_to_json(run.job)
    present = json_or_none(spec)
    if _same(present, wanted):
        return False
    if present is None and not (run_dir.is_dir() and any(run_dir.iterdir())):
        write_job(run_dir, run.job, overrides)
        return False
    write_json(spec, wanted)
    return not _holds(present, run.run_id)


def _holds(present: Any, run_id: str) -> bool:
    """Whether a spec.json is whole and of this run; of an earlier release, later fields lack."""
    try:
        return job_from_json(present).run_id == run_id
    except SpecError:
        return False


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
            "cell": run.cell,
            "settings": run.settings,
            "predicted_seconds": round(predicted, 3),
            "checkpoint_bytes": checkpoint_bytes(run),
            **job_to_json(run.job),
        }
        for run, predicted in zip(expansion.runs, seconds, strict=True)
    ]
    lines += [_left_out_row(cell) for cell in expansion.left_out]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_atomic(SweepPaths(root).plan, text)


def _left_out_row(cell: SkippedCell) -> dict[str, Any]:
    row = dataclasses.asdict(cell)
    return {"status": row.pop("kind"), **row}
