"""Everything that a run writes while it trains and when it ends: one rank's business."""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedModel

from train.config.run_config import RunConfig
from train.config.spec import known
from train.data.tokenizer import TextCodec
from train.engine.branch_states import leave_trunk
from train.engine.checkpoint import (
    TrainerState,
    give_state,
    give_weights,
    save_model,
)
from train.engine.loop import Hooks, Outcome
from train.engine.state_saver import StateSaver
from train.rundir.metrics_file import MetricsFile
from train.rundir.model_card import model_card
from train.rundir.record import (
    RunPaths,
    RunRecord,
    append_status,
    early_stop_reason,
    write_record,
)
from train.rundir.whole_directory import sweep_leftovers
from train.trackers.trackers import Trackers

BEAT_SECONDS = 5.0
"""How often progress is noted in status.jsonl."""


class RunWriter:
    """What one run writes, as a context manager that closes all of it on every way out."""

    def __init__(
        self,
        run_dir: Path,
        job: RunConfig,
        model: PreTrainedModel,
        optimizer: torch.optim.Optimizer,
        codec: TextCodec,
        restored: TrainerState | None,
    ) -> None:
        self._run_dir, self._paths, self._job = run_dir, RunPaths(run_dir), job
        self._model, self._optimizer, self._codec = model, optimizer, codec
        self._kept_bytes = restored.metrics_bytes if restored else 0
        self._saver = StateSaver(model, optimizer)
        self._last_beat = time.monotonic() - BEAT_SECONDS
        self._ending: tuple[RunRecord | None, str] = (None, "failed")

    def hooks(self, stopping: Callable[[], bool]) -> Hooks:
        """What the loop calls."""
        return Hooks(
            write=self._write,
            beat=self._beat,
            save=self._save,
            share=self._share,
            keep=self._keep,
            keep_average=self._keep_average,
            stopping=stopping,
            word=lambda: early_stop_reason(self._run_dir),
        )

    def __enter__(self) -> "RunWriter":
        """Cut metrics.jsonl back to the restored state, and open the trackers, which catch up.

        Raises:  RecordError: metrics.jsonl is shorter than the state knows, or can't be written.
        """
        sweep_leftovers(self._run_dir)
        self._metrics = MetricsFile(self._paths.metrics, self._kept_bytes)
        self._tracker = Trackers(self._job, self._run_dir)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files, then end the trackers: as failed, unless `finish` said how it ended."""
        try:
            self._saver.close()
            self._metrics.close()
        finally:
            self._tracker.finish(*self._ending)

    def finish(self, outcome: Outcome, record: RunRecord | None) -> None:
        """With a record, write the model, then the record, and drop the state.

        The trackers are ended after that, on the way out: a service that does not answer costs a
        run that is recorded some seconds.
        Raises:  CheckpointError, RecordError: disk full or read-only; the state stays for a retry.
        """
        self._saver.wait()
        if record is not None:
            self._metrics.sync()
            self._checkpoint(self._paths.checkpoint, outcome.step, outcome.loss)
            write_record(self._run_dir, record)
            shutil.rmtree(self._paths.state, ignore_errors=True)
        self._ending = (record, outcome.status)

    def _write(self, row: dict[str, float]) -> None:
        self._metrics.write(row)
        self._tracker.write(row)

    def _beat(self, outcome: Outcome) -> None:
        if time.monotonic() - self._last_beat < BEAT_SECONDS:
            return
        self._last_beat = time.monotonic()
        spec = self._job.spec
        n_tokens = outcome.spent_steps * known(spec.optim.batch_tokens, "optim.batch_tokens")
        append_status(
            self._run_dir,
            "running",
            step=outcome.step,
            n_steps=spec.n_steps,
            train_loss=outcome.train_loss,
            tokens_per_second=n_tokens / max(outcome.seconds, 1e-9),
        )

    def _save(self, progress: Outcome) -> None:
        state = TrainerState(self._job.run_id, self._metrics.sync(), asdict(progress))
        self._saver.save(self._paths.state, state)

    def _share(self, progress: Outcome) -> None:
        curve = self._paths.metrics.read_bytes()[: self._metrics.sync()]
        leave_trunk(self._run_dir, self._job, self._model, self._optimizer, asdict(progress), curve)

    def _keep(self, step: int, loss: float | None) -> None:
        self._checkpoint(self._paths.checkpoint_at(step), step, loss)

    def _keep_average(self, step: int, loss: float | None) -> None:
        self._checkpoint(self._paths.averaged, step, loss)

    def _checkpoint(self, directory: Path, step: int, loss: float | None) -> None:
        facts = {"run_id": self._job.run_id, "step": step, "loss": loss}
        card = model_card(self._run_dir, self._job, step, loss)
        length = self._job.spec.model.seq_len
        save_model(self._model, self._codec, directory, length, facts, card)


def follower_hooks(
    stopping: Callable[[], bool], model: PreTrainedModel, optimizer: torch.optim.Optimizer
) -> Hooks:
    """Hooks of a rank that writes nothing; it gives its shards to the one that does."""
    return Hooks(
        write=lambda row: None,
        beat=lambda outcome: None,
        save=lambda outcome: give_state(model, optimizer),
        share=lambda outcome: give_state(model, optimizer),
        keep=lambda step, loss: give_weights(model),
        keep_average=lambda step, loss: give_weights(model),
        stopping=stopping,
    )
