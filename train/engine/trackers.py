"""metrics.jsonl always; Weights & Biases mirrors it and never stops a run."""

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from train.config.run_config import RunJob
from train.rundir.atomic import RecordError
from train.rundir.record import RunRecord

log = logging.getLogger(__name__)


class MetricsFile:
    """Append-only metrics.jsonl, cut back to a known length on resume."""

    def __init__(self, path: Path, keep_bytes: int) -> None:
        try:
            self._file = path.open("r+b" if path.exists() else "w+b")
            self._file.truncate(keep_bytes)
            self._file.seek(0, os.SEEK_END)
            if self._file.tell() < keep_bytes:
                raise RecordError(
                    f"{path} has {self._file.tell()} bytes, its checkpoint was written at "
                    f"{keep_bytes}: it was shortened; delete the run's state/ to start over"
                )
        except OSError as error:
            raise RecordError(f"can't write {path}: {error.strerror or error}") from error

    def write(self, row: dict[str, Any]) -> None:
        self._file.write((json.dumps(row) + "\n").encode())
        self._file.flush()

    def sync(self) -> int:
        """Flush to disk; returns the length that a checkpoint may rely on."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self.sync()
        self._file.close()


class Wandb:
    """A W&B run of the same id; every failure is logged once and then ignored."""

    def __init__(self, job: RunJob, run_dir: Path) -> None:
        self._run: Any = None
        if job.tracker.kind != "wandb" or job.tracker.mode == "disabled":
            return
        try:
            import wandb

            self._run = wandb.init(
                project=job.tracker.project,
                entity=job.tracker.entity,
                group=job.sweep,
                id=job.run_id,
                name=job.name,
                config=asdict(job.spec) | {"grid": job.grid, "flops_budget": job.flops_budget},
                resume="allow",
                mode=wandb_mode(job.tracker.mode),  # type: ignore[arg-type]
                dir=str(run_dir),
                settings=wandb.Settings(silent=True, console="off"),
            )
            for axis in ("step", "n_tokens", "flops"):
                self._run.define_metric(axis, hidden=True)
            self._run.define_metric("*", step_metric="step")
            for name in ("loss", "train_loss"):
                self._run.define_metric(f"{name}_by_tokens", step_metric="n_tokens")
                self._run.define_metric(f"{name}_by_flops", step_metric="flops")
        except Exception as error:
            self._give_up(error)

    def write(self, row: dict[str, Any]) -> None:
        copies = {
            f"{name}_by_{axis}": row[name]
            for name in ("loss", "train_loss")
            if name in row
            for axis in ("tokens", "flops")
        }
        self._call(lambda: self._run.log(row | copies))

    def finish(self, record: RunRecord | None, status: str) -> None:
        if record is not None:
            self._call(lambda: self._run.summary.update(asdict(record)))
        self._call(lambda: self._run.finish(exit_code=0 if status in ("finished",) else 1))

    def _call(self, action: Any) -> None:
        if self._run is None:
            return
        try:
            action()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Any failure of a mirror is survivable: files are the record."""
        log.warning("W&B is off for this run (%s: %s); files go on", type(error).__name__, error)
        self._run = None


def wandb_mode(mode: str) -> str:
    """auto is online with a login (key in the environment or ~/.netrc), else offline."""
    if mode != "auto":
        return mode
    chosen = os.environ.get("WANDB_MODE")
    if chosen:
        return chosen
    if os.environ.get("WANDB_API_KEY"):
        return "online"
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    known = netrc.exists() and "api.wandb.ai" in netrc.read_text(errors="replace")
    return "online" if known else "offline"
