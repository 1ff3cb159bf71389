"""Which sets of items a run or a checkpoint is asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.config import EvalConfig, require
from eval.harness.ask import NamedTasks, named_tasks
from eval.tasks.eval_set import EvalSet, generated_exam, length_variant, spec_from_options
from eval.tasks.files.file_task import file_exam, file_options
from eval.tasks.generated import TaskError, TaskSpec
from train.rundir.record import read_job, read_record

Asked = Sequence[EvalSet | NamedTasks]
"""What a checkpoint is asked: our own sets of items, or benchmarks by the harness's names."""


def run_sets(config: EvalConfig, run_dir: Path) -> Asked:
    """What a run is asked: its own tasks, or the task that was named if its data holds that."""
    record = read_record(run_dir)
    if record is None or record.status != "finished":
        raise TaskError(f"{run_dir} is {record.status if record else 'not finished'}")
    parts = read_job(run_dir).spec.data.parts.values()
    trained = [part.options for part in parts if part.kind == "arithmetic"]
    asked = config.task.get("task", "own")
    if asked == "own":
        require(bool(trained), f"{run_dir} was trained on no generated task; name one with task=")
        return [exam for options in trained for exam in _own_sets(config, options)]
    of_any = asked in ("file", "lm_eval")
    holds = of_any or any(part.get("task", "addition") == asked for part in trained)
    require(
        holds or config.allow_untrained,
        f"{run_dir} was not trained on {asked}; allow_untrained=true asks it all the same",
    )
    return sets_of(config, trained)


def _own_sets(config: EvalConfig, options: dict[str, Any]) -> list[EvalSet]:
    """The task of a data part, held-out and seen, and its variant of uniform operand lengths."""
    spec = spec_from_options(options)
    exams = [generated_exam(spec, config.n_items, options.get("seed", 0), config.n_seen)]
    uniform = length_variant(spec)
    if uniform is not None and config.n_by_length:
        exams.append(generated_exam(uniform, config.n_by_length))
    return exams


def sets_of(config: EvalConfig, trained: list[dict[str, Any]] | None) -> Asked:
    """The named task; seen items are asked only of a run that was trained on this very task."""
    if config.task.get("task") == "lm_eval":
        return named_tasks(config.task)
    if config.path is not None:
        return [
            file_exam(Path(config.path), file_options(config.task), config.n_items, config.seed)
        ]
    spec = _task_spec(config.task)
    seeds = [
        options.get("seed", 0) for options in trained or [] if spec_from_options(options) == spec
    ]
    seen_seed = seeds[0] if seeds else None
    return [generated_exam(spec, config.n_items, seen_seed, config.n_seen)]


def _task_spec(fields: dict[str, Any]) -> TaskSpec:
    try:
        return TaskSpec(**fields)
    except TypeError as error:
        raise TaskError(f"task: {error}; expected fields of a task, see conf/task/") from error
