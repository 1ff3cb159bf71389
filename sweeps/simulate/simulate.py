"""launcher=simulate: the runs of a sweep with losses from a chosen surface instead of training.

The records are ordinary ones with the mark `simulated`, in a directory of their own: a sweep that
was trained is never simulated into, and one that was simulated is never trained into.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from analysis.stored_fits import read_fits
from analysis.studies.known_surfaces import SEED_NOISE, TRUTHS, Truth, truth_json
from sweeps.plan.expand import PlannedRun
from sweeps.plan.plan import Plan
from sweeps.plan.write_sweep import write_plan
from sweeps.simulate.mark import SimulationError, mark
from sweeps.simulate.simulated_runs import Simulation, curve, losses, record_of
from sweeps.spec.config import SweepConfig
from train.config.run_config import job_to_json
from train.rundir.atomic import write_atomic, write_json
from train.rundir.record import RunPaths, write_record
from train.rundir.sweep_layout import SweepPaths, fits_file, prepare, run_dirs

DEFAULT_SURFACE = "besiroglu"


def simulate(plan: Plan, config: SweepConfig, composed: str) -> tuple[int, str]:
    """Write every run of a plan that is not there yet; returns how many, and what they carry as
    `simulated`.

    Each run directory appears whole, by a rename. `composed` is the content of sweep.yaml.
    Raises:  SimulationError: an unknown surface; a directory of other runs (`require_simulated`).
    """
    root = config.root
    simulation = simulation_of(config, plan)
    require_simulated(root, simulation)
    prepare(root)
    write_json(SweepPaths(root).simulation, described(simulation))
    write_atomic(SweepPaths(root).config, composed)
    write_plan(root, plan.expansion, plan.places, [0.0] * len(plan.runs))
    missing = [r for r in plan.runs if not RunPaths(plan.places[r.run_id]).record.exists()]
    if missing:
        with TemporaryDirectory(dir=root, prefix=".simulating-") as staging:
            for run, loss in zip(missing, losses(simulation, missing), strict=True):
                _write_run(plan.places[run.run_id], run, float(loss), simulation, Path(staging))
    return len(missing), simulation.label


def simulation_of(config: SweepConfig, plan: Plan) -> Simulation:
    """What a configuration asks to be simulated.

    Undertuning spans the sizes of the sweep as it was first simulated, so that cells added later
    leave the others as they are.
    Raises:  SimulationError: an unknown surface; IsoflopError: fits that hold none.
    """
    asked = config.sweep
    surface = asked.surface or DEFAULT_SURFACE
    truth, measured = named_truth(surface)
    before = mark(config.root)
    sizes = [float(run.n_params) for run in plan.runs]
    span = before["sizes"] if before else [min(sizes), max(sizes)]
    return Simulation(
        surface=surface,
        truth=truth,
        noise=measured if asked.noise is None else asked.noise,
        undertuning=asked.undertuning,
        sizes=(float(span[0]), float(span[1])),
    )


def named_truth(surface: str) -> tuple[Truth, float]:
    """A surface by name or from a fits.json (or the directory of a fitted sweep), and its seed
    noise: what the fit of approach 2 estimated, else SEED_NOISE.

    Raises:  SimulationError: neither a name nor a fit.
    """
    if surface in TRUTHS:
        return TRUTHS[surface], SEED_NOISE
    if fits_file(Path(surface)) is None:
        raise SimulationError(
            f"sweep.surface={surface} is unknown; expected one of {', '.join(TRUTHS)}, or the path "
            f"of a fits.json or of a fitted sweep"
        )
    fits = read_fits(Path(surface))
    return fits.surface, (fits.isoflop and fits.isoflop.noise) or SEED_NOISE


def described(simulation: Simulation) -> dict[str, Any]:
    """The content of simulation.json: JSON values only."""
    return {
        "surface": simulation.surface,
        "truth": truth_json(simulation.truth),
        "noise": simulation.noise,
        "undertuning": simulation.undertuning,
        "sizes": list(simulation.sizes),
    }


def require_simulated(root: Path, simulation: Simulation) -> None:
    """Check that a directory is new, or holds runs of this very simulation.

    Raises:  SimulationError: it holds trained runs, or runs of another simulation.
    """
    before = mark(root)
    if before is None:
        runs = run_dirs(root) if SweepPaths(root).runs.is_dir() else []
        if runs:
            raise SimulationError(
                f"{root} holds {len(runs)} runs to train or trained; simulated ones never mix with "
                f"them: choose another out=DIR, or leave it out"
            )
        return
    now = described(simulation)
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        raise SimulationError(
            f"{root} was simulated with another {', '.join(changed)} "
            f"({', '.join(f'{k}={before.get(k)}' for k in changed if k != 'truth')}); "
            f"choose another out=DIR, or delete that one"
        )


def _write_run(
    run_dir: Path, run: PlannedRun, loss: float, simulation: Simulation, staging: Path
) -> None:
    """A finished run's directory, made aside and renamed into place."""
    record = record_of(run, loss, simulation.label)
    rows = curve(simulation, run, loss)
    if run_dir.exists():  # someone deleted its record
        write_record(run_dir, record)
        return
    made = RunPaths(staging / run_dir.name)
    made.directory.mkdir()
    made.spec.write_text(json.dumps(job_to_json(run.job)), encoding="utf-8")
    made.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ended = {"status": "finished", "time": time.time(), "note": "simulated"}
    made.status.write_text(json.dumps(ended) + "\n", encoding="utf-8")
    made.record.write_text(json.dumps(asdict(record), allow_nan=False), encoding="utf-8")
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    made.directory.rename(run_dir)
