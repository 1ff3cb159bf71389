"""`isoflop eval PATH [task=...]`: every run of a sweep, or one checkpoint by directory or name."""

import re
import sys
from pathlib import Path

from rich.table import Table

from eval.answered import Sets, answered, n_items, say_excluded
from eval.asked import named_sets, sets_of_run
from eval.config import TEXT_TASKS, EvalConfig, require
from eval.evals_table import write_evals
from eval.evaluate import CheckpointRef, rescore, run_targets
from eval.progress import progress, say_reasons
from eval.score_table import scores, sweep_scores
from eval.side_by_side import evaluated, n_workers
from eval.tasks.codebook import TASK as CODEBOOK
from eval.tasks.generated import TASKS, TaskError
from eval.text.command import evaluate_text
from eval.text.documents import has_text
from train.commands.command_line import Command, run_command, text_override
from train.commands.console import DataConsole
from train.commands.terminal import say
from train.config.cli import UsageError
from train.config.spec import IsoflopError
from train.rundir.atomic import read_json
from train.rundir.record import RunPaths, read_job, read_record
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
    require(
        not (config.is_sweep and config.trust_remote_code),
        f"trust_remote_code=true is for one checkpoint that you name; those of a sweep such as "
        f"{target} need no code of their own",
    )
    import torch

    torch.set_num_threads(config.threads)
    if config.is_sweep:
        return _sweep(config, Path(target))
    return _one_checkpoint(config, target)


def _one_checkpoint(config: EvalConfig, checkpoint: str) -> int:
    slug = re.sub(r"[^\w.-]+", "_", checkpoint.strip("/")).strip("_")
    out = Path(config.out) if config.out else Path("results/eval") / slug
    target = CheckpointRef(checkpoint, out, trust_remote_code=config.trust_remote_code)
    if config.task.get("task") in TEXT_TASKS:
        return _text(config, [target])
    eval_sets = named_sets(config, None)
    say_excluded(eval_sets)
    with progress(n_items(eval_sets), checkpoint) as advance:
        paths = answered(
            target, eval_sets, config.settings, config.device, config.overwrite, advance
        )
    _print(scores(row for path in paths for row in read_json(path)["rows"]))
    for path in paths:
        print(path)
    return 0


def _sweep(config: EvalConfig, sweep: Path) -> int:
    """Every finished run of a sweep; runs that are passed over are listed with their reason."""
    found = sorted(path for path in run_dirs(sweep) if RunPaths(path).spec.exists())
    if not found:
        raise TaskError(f"{sweep} has no runs; expected a directory with runs/*/spec.json")
    planned: list[tuple[CheckpointRef, Sets]] = []
    skipped: dict[str, list[str]] = {}
    running_text = config.task.get("task") in TEXT_TASKS
    for run_dir in found:
        try:
            eval_sets = _no_sets(config, run_dir) if running_text else sets_of_run(config, run_dir)
            planned += [(target, eval_sets) for target in run_targets(run_dir)]
        except IsoflopError as error:
            skipped.setdefault(str(error).replace(f"{run_dir} ", ""), []).append(run_dir.name)
    say_reasons("not evaluated", skipped)
    if not planned:
        raise TaskError(f"no run under {sweep} can be evaluated; the reasons stand above")
    say_excluded(planned[0][1])
    if running_text:
        failed = _score_text(config, [target for target, _ in planned])
    else:
        failed = _evaluate_all(config, planned)
    say_reasons("failed", failed)
    n_evaluated = len(planned) - sum(map(len, failed.values()))
    print(f"{n_evaluated} checkpoints evaluated: {SweepPaths(sweep).runs}")
    table, problems = SweepPaths(sweep).table("evals"), []
    write_evals(table, found, problems)
    for problem in problems:
        say(problem, sys.stderr)
    _print(sweep_scores(table))
    print(table)
    return 1 if failed else 0


def _text(config: EvalConfig, targets: list[CheckpointRef]) -> int:
    failed = _score_text(config, targets)
    say_reasons("failed", failed)
    found = [path for target in targets for path in sorted(target.out.glob("*.json"))]
    _print(scores(row for path in found for row in read_json(path)["rows"]))
    for path in found:
        print(path)
    return 1 if failed else 0


def _no_sets(config: EvalConfig, run_dir: Path) -> Sets:
    """Nothing: running text needs no items, but a run needs text of its own where none is given."""
    own = read_record(run_dir) is not None and has_text(dict(read_job(run_dir).spec.data.parts))
    require(config.path is not None or own, f"{run_dir} has no running text; give path=DIR")
    return []


def _score_text(config: EvalConfig, targets: list[CheckpointRef]) -> dict[str, list[str]]:
    with progress(len(targets), f"{len(targets)} checkpoints") as advance:
        return evaluate_text(config, targets, advance)


def _evaluate_all(
    config: EvalConfig, planned: list[tuple[CheckpointRef, Sets]]
) -> dict[str, list[str]]:
    import torch

    failed: dict[str, list[str]] = {}
    total = sum(n_items(eval_sets) for _, eval_sets in planned)
    on_gpu = config.device != "cpu" and torch.cuda.is_available()
    workers = n_workers(config, planned, on_gpu)
    with progress(total, f"{len(planned)} checkpoints") as advance:
        if workers > 1:
            for checkpoint, reason in evaluated(config, planned, workers, advance):
                failed.setdefault(reason, []).append(checkpoint)
            return failed
        for target, eval_sets in planned:
            try:
                answered(
                    target, eval_sets, config.settings, config.device, config.overwrite, advance
                )
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


def _print(table: Table) -> None:
    # A file's lines need no folding.
    DataConsole(width=None if sys.stdout.isatty() else 200).print(table)


def paths(given: list[str], verb: str | None) -> list[str]:
    """The sweep or checkpoint as an override.

    Raises:  UsageError: there are several.
    """
    if len(given) > 1:
        raise UsageError(f"got {', '.join(given)}; expected one sweep or checkpoint")
    return [text_override("target", _checkpoint_of(path)) for path in given]


def _checkpoint_of(path: str) -> str:
    """A run's directory as that of its model, which is what is evaluated of it."""
    run = RunPaths(Path(path))
    is_run = run.spec.is_file() and (run.checkpoint / "config.json").is_file()
    return str(run.checkpoint) if is_run else path


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
    return [f"task.task={name}"] if name in (*TASKS, CODEBOOK) else []


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
