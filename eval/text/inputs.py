"""What checkpoints share: the texts, and the difficulty of items by one model's loss."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.config import EvalConfig
from eval.evaluate import CheckpointRef
from eval.lm.load import load_checkpoint
from eval.tasks.generated import TaskError
from eval.text.continuation import answer_windows, strata
from eval.text.documents import TextDocument, heldout_documents, read_documents
from eval.text.settings import TextTask
from train.rundir.record import RunPaths, read_job, read_record


class Documents:
    """The texts of each checkpoint: those of `path`, or its run's own validation texts."""

    def __init__(self, config: EvalConfig, task: TextTask) -> None:
        self._given = read_documents(config.path, task.by, task.field) if config.path else None
        self._own: dict[str, list[TextDocument]] = {}

    def of(self, target: CheckpointRef) -> list[TextDocument]:
        if self._given is not None:
            return self._given
        if target.run_id is None:
            raise TaskError("a checkpoint without a run has no texts of its own; give path=DIR")
        spec = read_job(_run_dir(target)).spec
        key = str(spec.data.fingerprint)
        if key not in self._own:
            self._own[key] = heldout_documents(spec.data, spec.model.seq_len)
        return self._own[key]


class Strata:
    """The stratum of each item by the loss of the reference, one per tokenizer and set of items."""

    def __init__(
        self, config: EvalConfig, task: TextTask, targets: Sequence[CheckpointRef]
    ) -> None:
        self._config, self._task, self._targets = config, task, targets
        self._found: dict[str, tuple[str, np.ndarray]] = {}

    def of(self, windows: np.ndarray, context: int) -> tuple[str, np.ndarray]:
        """(reference's name, stratum of each window); the best model of the sweep unless named."""
        key = hashlib.sha256(windows.tobytes()).hexdigest()
        if key not in self._found:
            best = self._reference()
            model, _ = load_checkpoint(
                best.checkpoint, self._config.device, self._config.bos, dtype=self._config.dtype
            )
            answered = answer_windows(model, windows, context, self._config.batch_tokens)
            label = best.run_id or best.checkpoint
            self._found[key] = (label, strata(answered.loss, self._task.strata))
        return self._found[key]

    def _reference(self) -> CheckpointRef:
        named = self._task.reference
        if named is not None:
            own = [one for one in self._targets if named in (one.run_id, one.checkpoint)]
            return own[0] if own else CheckpointRef(named, Path())
        return min(self._targets, key=_loss_of)


def _loss_of(target: CheckpointRef) -> float:
    record = read_record(_run_dir(target)) if target.run_id else None
    final = record is not None and record.n_steps == target.step
    return record.loss if record and final and record.loss is not None else math.inf


def _run_dir(target: CheckpointRef) -> Path:
    """The run of a checkpoint: the folder that holds evals/."""
    return next(path for path in (target.out, *target.out.parents) if RunPaths(path).spec.exists())
