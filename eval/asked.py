"""Which evaluation sets a checkpoint is asked: its run's own tasks, or the task that was named."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.answered import Sets
from eval.config import EvalConfig
from eval.harness.ask import named_tasks
from eval.tasks.codebook import TASK as CODEBOOK
from eval.tasks.codebook import CodebookSpec
from eval.tasks.eval_set import (
    EvalSet,
    Generated,
    codebook_spec,
    generated_set,
    length_variant,
    longest_variant,
    spec_from_options,
)
from eval.tasks.files.file_task import file_options, file_set
from eval.tasks.generated import TaskError, TaskSpec
from train.config.spec import SourceSpec
from train.rundir.record import read_job, read_record

GENERATED = {"arithmetic": spec_from_options, "codebook": codebook_spec}
"""The kinds of data parts whose items are generated here, and how each reads its options."""


Trained = list[tuple[Generated, int]]
"""The generated tasks of a run's training data, each with the seed of its training items."""


def sets_of_run(config: EvalConfig, run_dir: Path) -> Sets:
    """What a run is asked: its own tasks, or the task that was named if its data holds that.

    Raises:  TaskError: an unfinished run, or one that was not trained on what is asked.
    """
    record = read_record(run_dir)
    if record is None or record.status != "finished":
        raise TaskError(f"{run_dir} is {record.status if record else 'not finished'}")
    trained = _trained(list(read_job(run_dir).spec.data.parts.values()))
    asked = config.task.get("task", "own")
    if asked == "own":
        if not trained:
            raise TaskError(f"{run_dir} was trained on no generated task; name one with task=")
        return [found for spec, seed in trained for found in _own_sets(config, spec, seed)]
    holds = asked in ("file", "lm_eval") or any(spec.task == asked for spec, _ in trained)
    if not holds and not config.allow_untrained:
        raise TaskError(
            f"{run_dir} was not trained on {asked}; allow_untrained=true asks it all the same"
        )
    return named_sets(config, trained)


def named_sets(config: EvalConfig, trained: Trained | None) -> Sets:
    """The named task; seen items are asked only of a run that was trained on this very task."""
    if config.path is not None:
        options = file_options(config.task)
        return [file_set(Path(config.path), options, config.n_items, config.seed)]
    if config.task.get("task") == "lm_eval":
        return named_tasks(config.task)
    spec = _named_spec(config.task)
    seeds = [seed for own, seed in trained or [] if own == spec]
    return [generated_set(spec, config.n_items, seeds[0] if seeds else None, config.n_seen)]


def _trained(parts: Sequence[SourceSpec]) -> Trained:
    return [
        (GENERATED[part.kind](part.options), int(part.options.get("seed", 0)))
        for part in parts
        if part.kind in GENERATED
    ]


def _own_sets(config: EvalConfig, spec: Generated, seed: int) -> list[EvalSet]:
    """The task of a data part, held-out and seen, and its variant of uniform lengths."""
    longest = longest_variant(spec)
    if longest is not None:
        return [
            generated_set(longest, config.n_items),
            generated_set(spec, max(1, config.n_by_length), seed, config.n_seen),
        ]
    found = [generated_set(spec, config.n_items, seed, config.n_seen)]
    uniform = length_variant(spec)
    if uniform is not None and config.n_by_length:
        found.append(generated_set(uniform, config.n_by_length))
    return found


def _named_spec(fields: dict[str, Any]) -> Generated:
    try:
        if fields.get("task") == CODEBOOK:
            return CodebookSpec(**{key: v for key, v in fields.items() if key != "task"})
        return TaskSpec(**fields)
    except TypeError as error:
        raise TaskError(f"task: {error}; expected fields of a task, see conf/task/") from error
