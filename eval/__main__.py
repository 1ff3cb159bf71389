"""`isoflop eval PATH [task=...]`: every run of a sweep, or one checkpoint by directory or name."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eval.ask import Asked, run_sets, sets_of
from eval.config import EvalConfig, require
from eval.evals_table import write_evals
from eval.evaluate import CheckpointRef, evaluate_set, rescore, run_targets
from eval.harness.ask import NamedTasks, ask_named
from eval.progress import progress
from eval.score_table import scores, sweep_scores
from eval.tasks.eval_set import EvalSet
from eval.tasks.generated import TASKS, TaskError
from train.commands.command_line import Command, run_command, text_override
from train.config.cli import UsageError
from train.config.spec import IsoflopError
from train.config.terminal import visible
from train.rundir.atomic import read_json
from train.rundir.record import RunPaths
from train.rundir.sweep_layout import SweepPaths, run_dirs


def main(config: EvalConfig, overrides: list[str]) -> int:
    """Evaluate and print where the results lie; 1 if a checkpoint could not be evaluated."""
    require(
        config.target is not None,
        "nothing to evaluate; expected a sweep's directory, or a checkpoint's directory or "
        "Hugging Face name: isoflop eval results/demo",
    )
    target = str(config.target)
    if config.rescore:
        return _rescore(Path(target))
    require(
        config.is_sweep or config.task.get("task", "own") != "own",
        f"{target} has no runs, so it is no sweep, and a checkpoint needs a task, since its "
        f"training data is unknown: task=addition, or task=file path=FILE",
    )
    import torch

    torch.set_num_threads(config.threads)
    if config.is_sweep:
        return _sweep(config, Path(target))
    return _one_checkpoint(config, target)


def _one_checkpoint(config: EvalConfig, checkpoint: str) -> int:
    slug = re.sub(r"[^\w.-]+", "_", checkpoint.strip("/")).strip("_")
    target = CheckpointRef(
        checkpoint, Path(config.out) if config.out else Path("results/eval") / slug
    )
    exams = sets_of(config, None)
    _report_excluded(exams)
    with progress(_n_items(exams), checkpoint) as advance:
        paths = _answered(config, target, exams, advance)
    _print(scores(row for path in paths for row in read_json(path)["rows"]))
    for path in paths:
        print(path)
    return 0


def _sweep(config: EvalConfig, sweep: Path) -> int:
    """Every finished run of a sweep; runs that are passed over are listed with their reason."""
    found = sorted(path for path in run_dirs(sweep) if RunPaths(path).spec.exists())
    if not found:
        raise TaskError(f"{sweep} has no runs; expected a directory with runs/*/spec.json")
    planned: list[tuple[CheckpointRef, Asked]] = []
    skipped: dict[str, list[str]] = {}
    for run_dir in found:
        try:
            exams = run_sets(config, run_dir)
            planned += [(target, exams) for target in run_targets(run_dir)]
        except IsoflopError as error:
            skipped.setdefault(str(error).replace(f"{run_dir} ", ""), []).append(run_dir.name)
    _report("not evaluated", skipped)
    if not planned:
        raise TaskError(f"no run under {sweep} can be evaluated; the reasons stand above")
    _report_excluded(planned[0][1])
    failed = _examine_all(config, planned)
    _report("failed", failed)
    n_evaluated = len(planned) - sum(map(len, failed.values()))
    print(f"{n_evaluated} checkpoints evaluated: {SweepPaths(sweep).runs}")
    table, problems = SweepPaths(sweep).table("evals"), []
    write_evals(table, found, problems)
    for problem in problems:
        print(problem, file=sys.stderr)
    _print(sweep_scores(table))
    print(table)
    return 1 if failed else 0


def _answered(
    config: EvalConfig, target: CheckpointRef, asked: Asked, advance: Callable[[int], None]
) -> list[Path]:
    """Summaries of all that a checkpoint is asked, by ourselves or through the harness."""
    named = [one for one in asked if isinstance(one, NamedTasks)]
    own = [one for one in asked if isinstance(one, EvalSet)]
    rest = (config.settings, config.device, config.overwrite, advance)
    paths = evaluate_set(target, own, *rest) if own else []
    return paths + (ask_named(target, named, *rest) if named else [])


def _examine_all(
    config: EvalConfig, planned: list[tuple[CheckpointRef, Asked]]
) -> dict[str, list[str]]:
    failed: dict[str, list[str]] = {}
    total = sum(_n_items(exams) for _, exams in planned)
    with progress(total, f"{len(planned)} checkpoints") as advance:
        for target, exams in planned:
            try:
                _answered(config, target, exams, advance)
            except IsoflopError as error:
                failed.setdefault(str(error), []).append(target.checkpoint)
    return failed


def _rescore(root: Path) -> int:
    summaries = [
        path
        for path in ([root] if root.is_file() else sorted(root.rglob("*.json")))
        if path.with_suffix(".parquet").exists()
    ]
    if not summaries:
        raise TaskError(f"{root} holds no stored answers (FILE.json beside FILE.parquet)")
    with progress(len(summaries), "rescoring") as advance:
        for summary in summaries:
            rescore(summary)
            advance(1)
    print(f"{len(summaries)} summaries computed again: {root}")
    return 0


def _report(what: str, by_reason: dict[str, list[str]]) -> None:
    for reason, names in by_reason.items():
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        print(visible(f"{what}: {len(names)} ({shown}): {reason}"), file=sys.stderr)


def _report_excluded(asked: Asked) -> None:
    """Name what a file holds and is not asked or computed."""
    for exam in (one for one in asked if isinstance(one, EvalSet)):
        for what, n in exam.excluded.items():
            print(visible(f"{exam.task}: {what}" + (f" ({n})" if n > 1 else "")), file=sys.stderr)


def _print(table: Table) -> None:
    # A file's lines need no folding.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _n_items(asked: Asked) -> int:
    """Items to ask; the harness says how many requests it has only once its data are loaded."""
    sets = (one for one in asked if isinstance(one, EvalSet))
    return sum(len(items) for exam in sets for items in exam.splits.values())


def paths(given: list[str], verb: str | None) -> list[str]:
    """The sweep or checkpoint as an override.

    Raises:  UsageError: there are several.
    """
    if len(given) > 1:
        raise UsageError(f"got {', '.join(given)}; expected one sweep or checkpoint")
    return [text_override("target", path) for path in given]


def _old_rescore(value: str, verb: str | None) -> list[str]:
    """rescore=DIR of earlier releases; rescore=true is today's spelling and stays."""
    plain = value in ("true", "false")
    return [f"rescore={value}"] if plain else [value, "rescore=true"]


def task_option(name: str) -> list[str]:
    """task=NAME of a generated task without a file in conf/task/, or task=lm_eval:NAME,NAME."""
    kind, colon, names = name.partition(":")
    if kind == "lm_eval" and colon:
        quoted = ",".join(text_override("", one).removeprefix("=") for one in names.split(","))
        return ["task=lm_eval", f"task.names=[{quoted}]"]
    return [f"task.task={name}"] if name in TASKS else []


def shots_option(value: str) -> list[str]:
    """n_shots=0,5: numbers of shots of named benchmarks."""
    return [f"task.n_shots=[{value.strip('[]')}]"]


COMMAND = Command(
    name="eval",
    module="eval",
    description="Ask checkpoints to solve tasks, and score every answer by several metrics.",
    config_name="eval",
    config=EvalConfig,
    run=main,
    arguments="PATH",
    paths=paths,
    options={"task": task_option, "n_shots": shots_option},
    old={
        "sweep": lambda value, verb: [value],
        "checkpoint": lambda value, verb: [value],
        "rescore": _old_rescore,
        "again": lambda value, verb: [f"overwrite={value}"],
        "untrained": lambda value, verb: [f"allow_untrained={value}"],
    },
)

if __name__ == "__main__":
    run_command(COMMAND, sys.argv[1:], "python -m eval")
