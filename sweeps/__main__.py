"""Front door: compose a sweep once, then plan, launch, watch, retry or gather it."""

import json
import sys

from rich.console import Console

from sweeps.config import SweepConfig
from train.schema import config_text, front_door

FAILED_EXIT = 1


def main(config: SweepConfig, overrides: list[str]) -> int:
    """Carry out one action; returns the exit status."""
    console = Console(width=None if sys.stdout.isatty() else 140, soft_wrap=False)
    return ACTIONS[config.action](config, overrides, console)


def plan(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Print the cost table and launch nothing."""
    from sweeps.plan import make_plan, plan_json, print_plan

    made = make_plan(config)
    if config.format == "json":
        print(json.dumps(plan_json(made, config)))
    else:
        print_plan(made, config, console)
    return 0


def launch(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Write the plan, train what is not done, gather the results."""
    from sweeps.launch import tasks_of, write_sweep
    from sweeps.plan import make_plan

    made = make_plan(config)
    composed = config_text("sweep", overrides)
    written = write_sweep(made, config, composed, overrides)
    for line in written.repaired:
        console.print(line, markup=False, soft_wrap=True)
    tasks = tasks_of(made)
    n_dropped = len(made.expansion.dropped)
    console.print(
        f"{config.sweep.name}: {len(made.runs)} runs, {len(made.runs) - len(tasks)} done already, "
        f"{len(tasks)} to train"
        + (f", {n_dropped} cells dropped (plan.jsonl)" if n_dropped else ""),
        highlight=False,
    )
    return _train(config, tasks, len(made.runs), written.run_dirs, console)


def retry(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Train again what went wrong, chosen by status."""
    from sweeps.manage import prepare_retry, to_retry
    from sweeps.store import run_dirs

    chosen = to_retry(config.root, config.only_names)
    tasks = prepare_retry(chosen)
    console.print(f"retrying {len(tasks)} runs", highlight=False)
    return _train(config, tasks, len(tasks), run_dirs(config.root), console)


def _train(config: SweepConfig, tasks: list, n_runs: int, run_dirs: list, console: Console) -> int:
    """Launch tasks, collect, list the failures; returns the exit status."""
    from sweeps.launch import INTERRUPTED_EXIT, failures, print_failures, train_here

    uninterrupted = not tasks or train_here(tasks, config.launcher, config.root, n_runs, console)
    collect(config, [], console)
    if not uninterrupted:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return INTERRUPTED_EXIT
    failed = failures(run_dirs)
    print_failures(failed, console)
    return FAILED_EXIT if failed else 0


def status(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Show the standing of every run."""
    from sweeps.status import show_status

    show_status(config.root, console, config.format == "json", config.watch)
    return 0


def collect(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Rebuild the tables from the run directories and print where they are."""
    from sweeps.collect import collect as gather

    collected = gather(config.root)
    for problem in collected.problems:
        console.print(f"left out: {problem}", style="red", markup=False, soft_wrap=True)
    counts = ", ".join(f"{n} {status}" for status, n in sorted(collected.by_status.items()))
    rows = ", ".join(f"{n} {name}" for name, n in collected.n_rows.items())
    console.print(f"runs: {counts or 'none'}; rows: {rows}", highlight=False)
    console.print(str(config.root), highlight=False, soft_wrap=True)
    return FAILED_EXIT if collected.problems else 0


def cancel(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Ask whatever trains the sweep to save and stop."""
    from sweeps.manage import cancel_local

    return _say(cancel_local(config.root), "nothing is running", console)


def clean(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Delete what `only` names."""
    from sweeps.manage import clean as delete

    return _say(delete(config.root, config.only_names), "nothing to delete", console)


def sync(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Upload offline W&B runs."""
    from sweeps.manage import sync as upload

    return _say(upload(config.root), "no offline W&B runs", console)


def _say(done, nothing: str, console: Console) -> int:
    for line in done.lines or ([] if done.problems else [nothing]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in done.problems:
        console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    return FAILED_EXIT if done.problems else 0


ACTIONS = {
    "plan": plan,
    "launch": launch,
    "retry": retry,
    "status": status,
    "collect": collect,
    "cancel": cancel,
    "clean": clean,
    "sync": sync,
}


if __name__ == "__main__":
    front_door(
        "sweeps",
        "Plan, launch, watch and gather a sweep of training runs.",
        "sweep",
        SweepConfig,
        main,
    )
