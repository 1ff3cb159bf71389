"""Trunk states of a sweep: left by each run where its decay starts, taken up by longer runs.

They lie in `<sweep>/trunks/<trunk_id>/step-N`, written and verified like any saved state. They save
work and are nothing else: a run that finds none, or only damaged ones, trains from the start and
ends with the same bits.
"""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from train.config.run_config import RunConfig
from train.config.wsd_branching import latest_branch, trunk_id
from train.engine.checkpoint import (
    CheckpointError,
    TrainerState,
    give_state,
    load_state,
    newest_step,
    save_state,
    step_dir,
)
from train.rundir.atomic import write_atomic
from train.rundir.record import RunPaths

METRICS = "metrics.jsonl"
"""The curve up to the trunk's step, beside its state."""

log = logging.getLogger(__name__)


def trunk_root(run_dir: Path, job: RunConfig) -> Path | None:
    """Where states of a run's trunk lie: beside the sweep's folder of runs, flat or spread.

    None for a run without a trunk, one that is not to branch, or one that lies in no such folder.
    """
    identity = trunk_id(job.spec) if job.runtime.branch else None
    parent = run_dir.resolve().parent
    runs = next((p for p in (parent, parent.parent) if p.name == "runs"), None)
    return None if runs is None or identity is None else runs.parent / "trunks" / identity


def leave_trunk(
    run_dir: Path,
    job: RunConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: dict[str, Any],
    metrics: bytes,
) -> None:
    """Save a run's state for longer runs of its trunk, unless an intact one lies there.

    What can't be written is logged and costs later runs time, never this run its end.
    """
    root, step = trunk_root(run_dir, job), progress["step"]
    if root is None or newest_step(root, at_most=step) == step:
        give_state(model, optimizer)  # as every other rank does at this point
        if root is None:
            log.info("no state left for branches: %s lies in no sweep's folder of runs", run_dir)
        return
    place = step_dir(root, step)
    for torn in root.glob(f".{place.name}.*"):  # of a process that was killed while writing
        shutil.rmtree(torn, ignore_errors=True)
    state = TrainerState(root.name, len(metrics), progress)
    try:
        save_state(root, model, optimizer, state, keep=None, files={METRICS: metrics})
        log.info("left a state for branches in %s", place)
    except CheckpointError as error:
        log.warning("no state left for branches: %s", error)


def take_trunk(
    run_dir: Path,
    job: RunConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
) -> TrainerState | None:
    """Start a run from the furthest intact state of its trunk, with that state's curve as its own.

    Returns: the state, whose progress says where it branched and counts no time yet; None without.
    """
    root, latest = trunk_root(run_dir, job), latest_branch(job.spec, job.runtime)
    if root is None or latest is None:
        return None
    step = _agreed(newest_step(root, at_most=latest), accelerator)
    if step is None:
        return None
    state = load_state(root, root.name, model, optimizer, at_most=step)
    if state is None:
        return None
    if accelerator.is_main_process:
        curve = step_dir(root, step) / METRICS
        write_atomic(RunPaths(run_dir).metrics, curve.read_bytes())
    log.info("branching at step %d from %s", step, root)
    progress = state.progress | {"branched_from": step, "seconds": 0.0}
    return replace(state, progress=progress)


def _agreed(step: int | None, accelerator: Accelerator) -> int | None:
    """The lowest of the ranks' steps: another run may leave a state while they look."""
    mine = torch.tensor([-1 if step is None else step], device=accelerator.device)
    everyone = accelerator.gather(mine)
    assert isinstance(everyone, Tensor)  # gather keeps the type that it is given
    lowest = int(everyone.min())
    return None if lowest < 0 else lowest
