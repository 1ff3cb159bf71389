"""`isoflop sweep VERB`: compose a sweep once, then plan, launch, watch, retry or collect it."""

import json
import sys

from rich.console import Console

from sweeps.spec.config import SweepConfig, names_of
from sweeps.training import (
    FAILED_EXIT,
    collect,
    prepare_workers,
    show_scripts,
    train_tasks,
)
from sweeps.verbs import VERBS, old_only, paths
from train.__main__ import GROUP_OPTIONS
from train.commands.command_line import Command, run_command
from train.commands.console import DataConsole
from train.config.cli import config_as_yaml, config_text
from train.config.spec import IsoflopError


def main(config: SweepConfig, overrides: list[str]) -> int:
    """Carry out one action; returns the exit status."""
    console = DataConsole(width=None if sys.stdout.isatty() else 140, soft_wrap=False)
    config = config.settled()
    if config.validates and config.action in ("plan", "launch"):
        from sweeps.design.validate import from_fit

        settled = from_fit(config, overrides, console)
        if settled is None:
            return 0
        config = settled
    return ACTIONS[config.action](config, overrides, console)


def plan(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Print the cost table and launch nothing."""
    from sweeps.launch.packing import packed
    from sweeps.plan.plan import make_plan, plan_json, print_plan

    made = packed(make_plan(config), config)
    if config.format == "json":
        print(json.dumps(plan_json(made, config)))
    else:
        print_plan(made, config, console)
    return 0


def launch(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Write the plan, train what is not done, gather the results."""
    from sweeps.launch.launch import require_room, tasks_of, write_sweep
    from sweeps.launch.packing import packed
    from sweeps.plan.plan import make_plan
    from sweeps.simulate.mark import require_trained

    if config.launcher.kind == "simulate":
        return simulate(config, overrides, console)
    require_trained(config.root, config.sweep.surface)
    prepare_workers(config)
    made = packed(make_plan(config), config)
    if config.launcher.kind == "slurm" and config.launcher.dry_run:
        for line in made.assumed:
            console.print(f"# {line}", markup=False, highlight=False, soft_wrap=True)
        return show_scripts(config, tasks_of(made), console)
    require_room(made, config.root, config.force)
    composed = config_as_yaml(config) if config.validates else config_text("sweep", overrides)
    written = write_sweep(made, config, composed, overrides)
    for line in (*written.repaired, *made.packing_lines):
        console.print(line, markup=False, soft_wrap=True)
    tasks = tasks_of(made)
    n_dropped = len(made.expansion.dropped)
    console.print(
        f"{config.sweep.name}: {len(made.runs)} runs, {len(made.runs) - len(tasks)} done already, "
        f"{len(tasks)} to train"
        + (f", {n_dropped} cells dropped (plan.jsonl)" if n_dropped else ""),
        highlight=False,
    )
    return train_tasks(config, tasks, len(made.runs), written.run_dirs, console)


def simulate(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Draw what is not there yet from a loss surface instead of training it, and gather."""
    from sweeps.plan.plan import make_plan
    from sweeps.simulate.simulate import simulate as draw

    made = make_plan(config)
    composed = config_as_yaml(config) if config.validates else config_text("sweep", overrides)
    n_new, label = draw(made, config, composed)
    console.print(
        f"{config.sweep.name}: {len(made.runs)} runs, {n_new} simulated now on {label}; "
        f"{len(made.expansion.dropped)} cells dropped (plan.jsonl); nothing was trained",
        highlight=False,
        soft_wrap=True,
    )
    return collect(config, overrides, console)


def retry(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Train again what went wrong, chosen by status."""
    from sweeps.manage.manage import clear_the_way, retry_tasks, to_retry
    from sweeps.manage.status import predictions
    from sweeps.simulate.mark import require_trained
    from sweeps.slurm.submissions import jobs_of
    from train.rundir.sweep_layout import planned_run_dirs

    require_trained(config.root)

    jobs = jobs_of(config.root)
    states = to_retry(config.root, names_of(config.status), jobs)
    tasks = retry_tasks(states, predictions(config.root))
    if config.launcher.kind == "slurm" and config.launcher.dry_run:
        return show_scripts(config, tasks, console)
    clear_the_way(states, jobs)
    console.print(f"retrying {len(tasks)} runs", highlight=False)
    return train_tasks(config, tasks, len(tasks), planned_run_dirs(config.root), console)


def status(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Show the status of every run."""
    from sweeps.manage.status import show_status
    from sweeps.slurm.submissions import jobs_of

    show_status(
        config.root, console, config.format == "json", config.watch, lambda: jobs_of(config.root)
    )
    return 0


def cancel(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Ask all processes that train the sweep to save and stop."""
    from sweeps.manage.manage import cancel_local
    from sweeps.slurm.submit import cancel as cancel_jobs

    done = cancel_local(config.root)
    try:
        done.lines += [f"cancelled Slurm array {job}" for job in cancel_jobs(config.root)]
    except IsoflopError as error:
        done.problems.append(str(error))
    return _say(done, "nothing is running", console)


def clean(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Delete what `what` names."""
    from sweeps.manage.manage import clean as delete

    return _say(delete(config.root, names_of(config.what)), "nothing to delete", console)


def sync(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Upload to W&B what it has not got."""
    from sweeps.manage.sync import sync as upload

    return _say(upload(config.root), "nothing to upload: W&B has every run", console)


def design(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Search the grid of a given total cost that tells the exponents best."""
    from sweeps.design.design_table import design as search

    search(config, console)
    return 0


def propose(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Say what to run next after a fit, as a sweep that can be launched."""
    from sweeps.design.propose import next_runs

    next_runs(config, console)
    return 0


def tune(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Search the learning rate of least loss in every cell, and fit the laws through them."""
    from sweeps.design.tune import tune as search

    return search(config, overrides, console, train_tasks)


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
    "design": design,
    "propose": propose,
    "tune": tune,
}


COMMAND = Command(
    name="sweep",
    module="sweeps",
    description="Plan, launch, watch and collect a sweep of training runs.",
    config_name="sweep",
    config=SweepConfig,
    run=main,
    arguments="VERB [DIR]",
    paths=paths,
    verbs=VERBS,
    default_verb="launch",
    options=GROUP_OPTIONS,
    old={"only": old_only, "sweep_fit": lambda value, verb: [f"fit={value}"]},
    texts=("status", "what", "launcher.devices"),
    switches={
        "watch": "same as watch=true",
        "dry_run": "with tune: print the first learning rates and train nothing",
    },
)

if __name__ == "__main__":
    run_command(COMMAND, sys.argv[1:], "python -m sweeps")
