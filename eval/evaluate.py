"""Checkpoint x evaluation set: a summary with the rows of evals.parquet, and one row per item.

A run directory holds `evals/<label>.json` and `evals/<label>.parquet` for its final checkpoint, and
the same under `evals/step-N/` for intermediate ones. The summary is written last, so its presence
means done; equal checkpoint, set and settings are never run twice.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.evals_table import structured
from eval.lm.load import fingerprint, load_checkpoint
from eval.lm.responses import GenerationSettings, answer_items
from eval.metrics.aggregate import measure
from eval.metrics.per_item import Outcome
from eval.samples import read_outcomes, write_outcomes
from eval.tasks.eval_set import EvalSet
from train.rundir.atomic import RecordError, read_json, write_json
from train.rundir.record import RunPaths, read_record

LATER = (
    ("pmi_prompt", None),
    ("chat_template", False),
    ("system_prompt", None),
    ("dtype", "auto"),
)
Advance = Callable[[int], None]


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint to evaluate_set and the directory for its results; step None is a final one.

    `trust_remote_code`: Python files that come with it may be run.
    """

    checkpoint: str
    out: Path
    step: int | None = None
    run_id: str | None = None
    trust_remote_code: bool = False


def run_targets(run_dir: Path) -> list[CheckpointRef]:
    """Final, intermediate and averaged checkpoints of a finished run, the final one first.

    Raises:  RecordError: the run has no checkpoint, although its record says finished.
    """
    paths = RunPaths(run_dir)
    record = read_record(run_dir)
    if record is None or not paths.checkpoint.is_dir():
        raise RecordError(f"{run_dir} has no finished checkpoint; train it first")
    targets = [CheckpointRef(str(paths.checkpoint), paths.evals, record.n_steps, record.run_id)]
    for directory in sorted((run_dir / "checkpoints").glob("step-*"), key=_step_of):
        step = _step_of(directory)
        if step != record.n_steps:
            out = paths.evals / directory.name
            targets.append(CheckpointRef(str(directory), out, step, record.run_id))
    if paths.averaged.is_dir():
        out = paths.evals / paths.averaged.name
        targets.append(CheckpointRef(str(paths.averaged), out, record.n_steps, record.run_id))
    return targets


def evaluate_set(
    target: CheckpointRef,
    eval_sets: list[EvalSet],
    settings: GenerationSettings,
    device: str = "auto",
    again: bool = False,
    advance: Advance = lambda n_items: None,
) -> list[Path]:
    """Answer every set that has no stored result yet; returns the paths of all summaries.

    Raises:  CheckpointError, TaskError: nothing is written for the set that failed.
    """
    due = [eval_set for eval_set in eval_sets if again or not _is_done(target, eval_set, settings)]
    if due:
        model, vocab = load_checkpoint(
            target.checkpoint, device, settings.bos, target.trust_remote_code, settings.dtype
        )
        for eval_set in due:
            started = time.perf_counter()
            outcomes = {
                split: answer_items(
                    model,
                    vocab,
                    items,
                    eval_set.layout,
                    dataclasses.replace(settings, decode=settings.decode and eval_set.decode),
                    advance,
                )
                for split, items in eval_set.splits.items()
            }
            _write(target, eval_set, settings, outcomes, time.perf_counter() - started)
    for eval_set in eval_sets:
        if eval_set not in due:
            advance(sum(len(items) for items in eval_set.splits.values()))
    return [summary_path(target, eval_set) for eval_set in eval_sets]


def summary_path(target: CheckpointRef, eval_set: EvalSet) -> Path:
    return target.out / f"{eval_set.label}.json"


def rescore(summary: Path) -> Path:
    """Compute a summary again from its stored item rows, without any model.

    Raises:  RecordError: the summary or its item rows are missing or unreadable.
    """
    content = read_json(summary)
    outcomes = read_outcomes(summary.with_suffix(".parquet"), content["layout"])
    rows = [row for split, given in outcomes.items() for row in _rows(content, split, given)]
    write_json(summary, content | {"rows": rows, "counts": _counts(outcomes)})
    return summary


def _is_done(target: CheckpointRef, eval_set: EvalSet, settings: GenerationSettings) -> bool:
    path = summary_path(target, eval_set)
    if not path.exists() or not path.with_suffix(".parquet").exists():
        return False
    try:
        content = read_json(path)
    except RecordError:
        return False
    return content.get("identity") == _identity(target, eval_set, settings)


def _identity(
    target: CheckpointRef, eval_set: EvalSet, settings: GenerationSettings
) -> dict[str, Any]:
    asked = dataclasses.asdict(settings)
    del asked["batch_tokens"]
    # Settings that came later leave the results of earlier releases valid where they are not used.
    for name, default in LATER:
        if asked[name] == default:
            del asked[name]
    if target.run_id is not None:
        # Results of earlier releases, which had neither setting, stay valid: our own tokenizers
        # have no BOS token, and a task with an item beyond the context was refused.
        for name, default in (("bos", "auto"), ("too_long", "skip")):
            if asked[name] == default:
                del asked[name]
    weights = weights_of(target.checkpoint)
    if target.trust_remote_code:
        asked["trust_remote_code"] = True  # another implementation may give other answers
    # The key of release 0.1, by which results that are stored count as done.
    return {"exam": eval_set.identity, "settings": asked, "weights": weights}


def weights_of(checkpoint: str) -> str:
    """A checkpoint's identity: the fingerprint of a directory, the name of one on the hub."""
    return fingerprint(Path(checkpoint)) if Path(checkpoint).is_dir() else checkpoint


def _write(
    target: CheckpointRef,
    eval_set: EvalSet,
    settings: GenerationSettings,
    outcomes: dict[str, list[Outcome]],
    seconds: float,
) -> None:
    path = summary_path(target, eval_set)
    path.unlink(missing_ok=True)
    write_outcomes(path.with_suffix(".parquet"), outcomes)
    content = {
        "task": eval_set.task,
        "operands": eval_set.operands,
        "format": eval_set.format,
        "n_shots": eval_set.n_shots,
        "layout": eval_set.layout,
        "checkpoint": Path(target.checkpoint).name,
        "run_id": target.run_id,
        "step": target.step,
        "identity": _identity(target, eval_set, settings),
        "seconds": round(seconds, 3),
        "counts": _counts(outcomes),
        "excluded": eval_set.excluded | _too_long(eval_set, outcomes),
    }
    table = [row for split, given in outcomes.items() for row in _rows(content, split, given)]
    write_json(path, content | {"rows": table})


def _too_long(eval_set: EvalSet, outcomes: dict[str, list[Outcome]]) -> dict[str, int]:
    """Items that were skipped since they exceed the checkpoint's context, by split."""
    skipped = {split: len(eval_set.splits[split]) - len(given) for split, given in outcomes.items()}
    return {f"{split} items beyond the context": n for split, n in skipped.items() if n}


def _counts(outcomes: dict[str, list[Outcome]]) -> dict[str, dict[str, int]]:
    """Items asked, different ones among them, and outputs that never stopped and were cut."""
    return {
        split: {
            "n_items": len(given),
            "n_distinct": len({(one.prompt, one.target) for one in given}),
            "n_cut": sum(one.output is not None and not one.stopped for one in given),
        }
        for split, given in outcomes.items()
    }


def _rows(content: dict[str, Any], split: str, given: list[Outcome]) -> Iterator[dict[str, Any]]:
    for found in measure(given):
        row = {
            "task": content["task"],
            "operands": content.get("operands"),
            "format": content["format"],
            "n_shots": content["n_shots"],
            "split": split,
            **dataclasses.asdict(found),
        }
        if row["operands"] is None:  # a summary of an earlier release, which is scored again
            row |= {key: structured(row["task"], "")[key] for key in ("task", "operands")}
        yield row


def _step_of(directory: Path) -> int:
    number = directory.name.removeprefix("step-")
    return int(number) if number.isdigit() else -1
