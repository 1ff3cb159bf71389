"""Weights & Biases mirrors metrics.jsonl; it never stops a run, and files are the record."""

import contextlib
import logging
import os
import shutil
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from train.config.run_config import RunConfig
from train.config.spec import known
from train.rundir.atomic import RecordError, read_jsonl
from train.rundir.record import RunPaths, RunRecord
from train.rundir.record_fields import job_columns
from train.trackers.mirror import Mirror, continued, write_mirror
from train.trackers.names import FLOPS, TOKENS, named
from train.trackers.wandb_service import launch_mode, service_problem, stay_offline_without_service

INIT_SECONDS = 20.0
FINISH_SECONDS = 20.0
"""How long W&B may take to accept a run and to upload the rest at its end.

Less than the 30 s that Slurm leaves by default between asking a job to stop and killing it.
"""

LOSSES = ("eval/loss", "train/loss")
"""Curves that are drawn over tokens and over FLOPs too."""

log = logging.getLogger(__name__)


class Wandb:
    """The open W&B run of a training, brought up to metrics.jsonl; failures are logged, not raised.

    Args:    mode: online or offline for `sync`, which asks for itself; None: as the launch decided.
    """

    def __init__(self, job: RunConfig, run_dir: Path, mode: str | None = None) -> None:
        self._run: Any = None
        self._job, self._run_dir = job, run_dir
        self._last_step, self._lacking = 0, ""
        mode = mode or launch_mode(job.tracker)
        try:
            self._mirror = Mirror(continued(run_dir, "wandb") or uuid.uuid4().hex[:12])
            write_mirror(run_dir, "wandb", self._mirror)
            self._open(mode)
        except Exception as error:
            self._give_up(error)
            if mode != "online":
                return
            stay_offline_without_service()
            try:
                # The service process would refuse the id, which it still tries to open online.
                _end_service()
                self._open("offline")
            except Exception as another:
                self._give_up(another)

    def _open(self, mode: str) -> None:
        """Start or continue the W&B run, and log what it lacks of the curve so far.

        Online the service says which step came last. Offline nothing is continued: the new files
        hold the curve from its first row and replace those of earlier attempts.
        """
        import wandb

        self._lacking = "it was logged offline" if mode == "offline" else ""
        if mode == "offline":
            for old in (self._run_dir / "wandb").glob(f"offline-run-*-{self._mirror.id}*"):
                shutil.rmtree(old, ignore_errors=True)
        job = self._job
        labels = {"run_id": job.run_id, "grid": job.grid, "flops_budget": job.flops_budget}
        self._run = wandb.init(
            project=job.tracker.project,
            entity=job.tracker.entity,
            group=job.sweep,
            id=self._mirror.id,
            name=job.name,
            tags=tags(job),
            config=asdict(job.spec) | labels,
            resume="allow",
            # Never the run that is open: in a warm worker that would be the one before.
            reinit="create_new",
            mode=mode,  # type: ignore[arg-type]
            dir=str(self._run_dir),
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", INIT_SECONDS)),
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
            ),
        )
        self._last_step = self._run.starting_step - 1
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        for name in LOSSES:
            self._run.define_metric(f"{name}_by_tokens", step_metric=TOKENS)
            self._run.define_metric(f"{name}_by_flops", step_metric=FLOPS)
        for row in read_jsonl(RunPaths(self._run_dir).metrics):
            self.write(row)

    def write(self, row: dict[str, Any]) -> None:
        """Log a row of metrics.jsonl, unless W&B has its step already from before a resume."""
        step = row.get("step")
        if self._run is None or not isinstance(step, int) or step <= self._last_step:
            return
        values = named(row)
        copies = {
            f"{name}_by_{axis}": values[name]
            for name in LOSSES
            if name in values
            for axis in ("tokens", "flops")
        }
        try:
            self._run.log({"step": step} | values | copies, step=step)
            self._last_step = step
        except Exception as error:
            self._give_up(error)

    def finish(self, record: RunRecord | None, status: str) -> str:
        """End the W&B run, within `FINISH_SECONDS`.

        Call it after record.json is written: what W&B does not take in time is left to `sync`.
        Returns: why W&B has not got the whole run; an empty string where it has.
        """
        if self._run is None:
            return self._lacking
        run, self._run = self._run, None
        offline = bool(self._lacking)
        try:
            if record is not None:
                run.summary.update(asdict(record))
            if status == "preempted":
                run.mark_preempting()
            run.finish(exit_code=0 if status == "finished" else 1)
        except Exception as error:
            self._lacking = str(error) or type(error).__name__
            stay_offline_without_service()
        if not offline:
            # A key that was revoked meanwhile ends an upload without an exception.
            self._lacking = self._lacking or service_problem()
            if self._lacking:
                log.warning(
                    "W&B has not taken all of this run (%s); files have it, and "
                    "`isoflop sweep sync DIR` uploads the rest",
                    self._lacking,
                )
        ended = Mirror(self._mirror.id, record is not None, not self._lacking, self._lacking)
        with contextlib.suppress(RecordError):
            write_mirror(self._run_dir, "wandb", ended)
        return self._lacking

    def _give_up(self, error: Exception) -> None:
        """Any failure of a mirror is survivable: files are the record."""
        log.warning("W&B is off for this run (%s: %s); files go on", type(error).__name__, error)
        self._lacking = str(error) or type(error).__name__
        run, self._run = self._run, None
        if run is not None:
            with contextlib.suppress(Exception):
                run.finish(exit_code=1)


def _end_service() -> None:
    import wandb

    wandb.teardown()


def tags(job: RunConfig) -> list[str]:
    """What people filter scaling runs by: compute, size, tokens, and tokens per parameter."""
    columns = job_columns(job, known(job.spec.n_steps, "n_steps"))
    return [
        f"FLOPs={job.flops_budget or columns['flops']:.1e}",
        f"N={columns['n_params']:.2e}",
        f"D={columns['n_tokens']:.2e}",
        f"tokens_per_param={columns['tokens_per_param']:.3g}",
    ]
