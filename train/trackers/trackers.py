"""All trackers of a run as one."""

from pathlib import Path
from typing import Any

from train.config.run_config import RunConfig
from train.rundir.record import RunRecord
from train.trackers.background import Background
from train.trackers.kinds import KINDS
from train.trackers.wandb_run import Wandb


class Trackers:
    """What `tracker=` names, each brought up to metrics.jsonl; failures are logged, not raised."""

    def __init__(self, job: RunConfig, run_dir: Path) -> None:
        asked = () if job.tracker.mode == "disabled" else job.tracker.kinds
        # Threads first: they open their trackers while W&B is opened here.
        self._behind = [Background(kind, job, run_dir) for kind in asked if kind in KINDS]
        self._all = [*([Wandb(job, run_dir)] if "wandb" in asked else []), *self._behind]

    def write(self, row: dict[str, Any]) -> None:
        """Log a row of metrics.jsonl to each."""
        for tracker in self._all:
            tracker.write(row)

    def finish(self, record: RunRecord | None, status: str) -> None:
        """End each; they take their time together, and none longer than its own FINISH_SECONDS."""
        for tracker in self._behind:
            tracker.end(record, status)
        for tracker in self._all:
            tracker.finish(record, status)
