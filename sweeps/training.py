"""What launch, retry and tune do with the runs that they chose: train, collect, say what failed."""

import sys
from collections.abc import Callable

from rich.console import Console

from sweeps.spec.config import SweepConfig
from train.commands.terminal import say
from train.config.errors import require

FAILED_EXIT = 1


def show_scripts(config: SweepConfig, tasks: list, console: Console) -> int:
    """Print the sbatch scripts of a launch; nothing is written or submitted."""
    from sweeps.slurm.submit import scripts

    scales = config.scale_time, config.scale_memory
    made, notes = scripts(tasks, config.launcher, config.root, config.sweep.name, *scales)
    for note in notes:
        console.print(f"# {note}", style="red", markup=False, soft_wrap=True)
    for batch, script in made:
        console.print(f"# array of {len(batch.jobs)} jobs, {sum(map(len, batch.jobs))} runs")
        print(script)
    return 0


def submit(config: SweepConfig, tasks: list, console: Console) -> int:
    """Hand tasks to Slurm, print how to watch them, and return at once."""
    from sweeps.slurm.report import submission_lines
    from sweeps.slurm.submit import submit as submit_arrays

    root = config.root
    made = submit_arrays(
        tasks,
        config.launcher,
        root,
        config.sweep.name,
        config.scale_time,
        config.scale_memory,
        config.force,
    )
    said, problems = submission_lines(made, len(tasks))
    for line in said:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in problems:
        console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    console.print(f"watch:   isoflop sweep watch {root}\ncollect: isoflop sweep collect {root}")
    console.print(str(root), highlight=False, soft_wrap=True)
    return FAILED_EXIT if made.problem or made.elsewhere else 0


def prepare_workers(config: SweepConfig) -> None:
    """Let the workers of a new sweep on this machine's CPU import what they need from now on."""
    from sweeps.launch.worker_process import begin_imports
    from sweeps.plan.machine import visible_devices
    from train.rundir.sweep_layout import SweepPaths

    new = not SweepPaths(config.root).plan.exists()
    if config.launcher.kind == "pool" and new and not visible_devices(config.launcher):
        begin_imports(config.launcher.threads)


def train_tasks(
    config: SweepConfig, tasks: list, n_runs: int, run_dirs: list, console: Console
) -> int:
    """Launch tasks, collect, list the failures; returns the exit status."""
    from sweeps.launch.failures import GaveUpError
    from sweeps.launch.launch import INTERRUPTED_EXIT, failures, print_failures, train_here
    from sweeps.launch.on_end import run_on_end
    from sweeps.manage.sync import lacking_lines
    from sweeps.plan.packing import placed_by
    from train.trackers.kinds import begin_stores, require_packages
    from train.trackers.wandb_service import launch_mode

    watch = _early_stopper(config)
    if tasks:
        require_packages(config.tracker.kinds)
    if config.launcher.kind == "slurm" and tasks:
        return submit(config, tasks, console)
    if tasks and "wandb" in config.tracker.kinds:
        launch_mode(config.tracker)  # decided here once, for every worker
    if tasks:
        begin_stores(config.tracker)
    uninterrupted, why = True, ""
    launcher = placed_by(config.launcher, config.root)
    try:
        if tasks:
            uninterrupted = train_here(tasks, launcher, config.root, n_runs, console, watch)
    except GaveUpError as error:
        why = str(error)
    collect(config, [], console)
    for line in lacking_lines(config.root, [task.run_dir for task in tasks], config.tracker.kinds):
        say(line, sys.stderr)
    failed = failures(run_dirs)
    if not uninterrupted:
        why = "interrupted; run the same command again to continue"
    else:
        # Of a launch that gave up, thousands may not have begun.
        print_failures([run for run in failed if not why or run.status != "planned"], console)
    problem = run_on_end(config.launcher.on_end, config.sweep.name, config.root, run_dirs, why)
    for line in filter(None, (why, problem)):
        say(line, sys.stderr)
    if not uninterrupted:
        return INTERRUPTED_EXIT
    return FAILED_EXIT if failed or why else 0


def _early_stopper(config: SweepConfig) -> Callable[[], None] | None:
    """What watches the runs where a sweep may stop some early.

    Raises:
        SpecError: Nothing is there to watch them all along.
    """
    if config.sweep.early_stop is None:
        return None
    require(
        config.launcher.kind == "pool",
        f"sweep.early_stop={config.sweep.early_stop} needs launcher=pool, whose launch watches its "
        f"runs; got launcher={config.launcher.kind}: leave it out",
    )
    from sweeps.manage.early_stop import early_stopper

    return early_stopper(config.root, config.sweep.early_stop)


def collect(config: SweepConfig, overrides: list[str], console: Console) -> int:
    """Rebuild the tables from the run directories and print where they are."""
    from sweeps.manage.collect import collect as gather

    collected = gather(config.root)
    for problem in collected.problems:
        console.print(f"left out: {problem}", style="red", markup=False, soft_wrap=True)
    for note in collected.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    counts = ", ".join(f"{n} {status}" for status, n in sorted(collected.by_status.items()))
    rows = ", ".join(f"{n} {name}" for name, n in collected.n_rows.items())
    console.print(f"runs: {counts or 'none'}; rows: {rows}", highlight=False)
    console.print(str(config.root), highlight=False, soft_wrap=True)
    return FAILED_EXIT if collected.problems else 0
