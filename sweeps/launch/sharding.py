"""Runs whose model is cut into shards over several GPUs, since one is predicted not to hold it."""

from pathlib import Path

from sweeps.plan.cost_model import predicted_bytes
from sweeps.spec.launcher import LauncherSpec
from train.config.run_config import RunConfig
from train.config.spec import IsoflopError
from train.rundir.record import read_job

MEMORY_SHARE = 0.9
"""Share of a device's memory that runs may be predicted to take."""


def is_sharded(run_dir: Path, launcher: LauncherSpec, device_bytes: float | None) -> bool:
    """Whether several GPUs should hold shards of a run's model, as launcher.shard says.

    Args:    device_bytes: memory of the smallest of them; unknown counts as enough.
    """
    if launcher.shard != "auto":
        return launcher.shard == "always"
    if device_bytes is None:
        return False
    try:
        return least_bytes(read_job(run_dir)) > MEMORY_SHARE * device_bytes
    except IsoflopError:
        return False  # it is tried, and fails with the reason


def least_bytes(job: RunConfig) -> float:
    """Memory that a run needs on one GPU: of one row where it may halve until it fits."""
    rows = 1 if job.runtime.auto_micro_batch else job.runtime.micro_batch
    return predicted_bytes(job.spec, rows, on_gpu=True)
