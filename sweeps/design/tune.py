"""`isoflop sweep tune`: locate the learning rate of least loss in every cell of a sweep, and fit
the laws that optim.rule=fitted:DIR reads.

All cells go on side by side: each round trains what every cell asks for next (`golden`). A search
that was killed trains nothing again, since a run with a record is done.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from sweeps.design.golden import Located, located, proposals
from sweeps.launch.launch import INTERRUPTED_EXIT, require_room, tasks_of, write_sweep
from sweeps.plan.plan import Plan, make_plan
from sweeps.spec.config import SweepConfig
from sweeps.spec.grids import GridSpec
from train.config.cli import config_as_yaml, load_config
from train.config.errors import IsoflopError, SpecError, known, require
from train.rundir.sweep_layout import fits_file, relative_to_cwd

Train = Callable[[SweepConfig, list, int, list[Path], Console], int]
"""Trains tasks of a plan: (configuration, tasks, runs in all, their directories, console)."""

SIDES = ("d_models", "n_params", "shapes", "init_from")
HORIZONS = ("budgets", "n_tokens", "tokens_per_param")


@dataclass
class Cell:
    """One size and length under search: the rule's rate, and the losses of the rates tried."""

    name: str
    grid: GridSpec
    guess: float = math.nan
    label: str = ""
    tried: dict[float, float] = field(default_factory=dict)
    reason: str = ""


def tune(config: SweepConfig, overrides: list[str], console: Console, train: Train) -> int:
    """Search every cell, print each step, fit the laws; returns the exit status.

    Raises:
        SpecError: A grid that sweeps rates already, or a launcher that does not wait.
    """
    require(
        config.launcher.kind in ("pool", "inline"),
        f"isoflop sweep tune trains in rounds and waits for each, which launcher=pool and inline "
        f"do; got launcher={config.launcher.kind}",
    )
    cells = cells_of(config)
    status = 0
    while asked := _asked(config, cells):
        made, config_now = _plan(config, cells, asked)
        if config.dry_run:
            for cell in cells:
                _say(console, f"{cell.label}: would train lr_peak {_listed(asked[cell.name])}")
            return 0
        tasks = tasks_of(made)
        if tasks:
            for name, rates in asked.items():
                label = next(cell.label for cell in cells if cell.name == name)
                _say(console, f"{label}: trying lr_peak {_listed(rates)}")
            require_room(made, config.root, config.force)
            written = write_sweep(made, config_now, config_as_yaml(config_now), overrides)
            done = train(config_now, tasks, len(made.runs), written.run_dirs, console)
            if done == INTERRUPTED_EXIT:
                return done
            status = max(status, done)
            made = make_plan(config_now)
        _read(made, cells, asked)
    for cell in cells:
        _say(console, outcome(cell, config))
    return max(status, _fit(config.root, console))


def cells_of(config: SweepConfig) -> list[Cell]:
    """Every cell of the sweep's grids as a grid of its own, with the rule's rate as its guess.

    Raises:
        SpecError: A grid has lr_peak as a side.
    """
    cells = []
    for name, grid in config.sweep.grids.items():
        if grid.lr_peak:
            raise SpecError(
                f"sweep.grids.{name}.lr_peak={grid.lr_peak} is what tune searches; leave it out"
            )
        # Other settings that the grid sweeps make cells of their own: their best rates differ.
        single = [
            replace(
                grid, **{side: [shape]}, **{horizon: [value]}, **{k: [v] for k, v in others.items()}
            )
            for side in SIDES for shape in getattr(grid, side)
            for horizon in HORIZONS for value in getattr(grid, horizon)
            for others in grid.settings
        ]  # fmt: skip
        cells += [Cell(f"{name}{number}", one) for number, one in enumerate(single, 1)]
    made = make_plan(_with(config, {cell.name: cell.grid for cell in cells}))
    for cell in cells:
        run = next((run for run in made.runs if run.job.grid == cell.name), None)
        if run is not None:
            cell.guess = known(run.job.spec.optim.lr_peak, "optim.lr_peak")
            cell.label = f"{cell.name} ({run.n_params:,} parameters, {run.n_tokens:,} tokens)"
    return [cell for cell in cells if cell.label]


def _asked(config: SweepConfig, cells: list[Cell]) -> dict[str, tuple[float, ...]]:
    """The rates that each cell wants next, by its name; cells that are over are missing."""
    wanted = {
        cell.name: proposals(config.tune, cell.guess, cell.tried)
        for cell in cells
        if not cell.reason
    }
    return {name: rates for name, rates in wanted.items() if rates}


def _plan(
    config: SweepConfig, cells: list[Cell], asked: dict[str, tuple[float, ...]]
) -> tuple[Plan, SweepConfig]:
    """The plan of all rates tried and asked for, and the configuration that says so."""
    grids = {
        cell.name: replace(cell.grid, lr_peak=sorted({*cell.tried, *asked.get(cell.name, ())}))
        for cell in cells
    }
    now = _with(config, grids)
    return make_plan(now), now


def _with(config: SweepConfig, grids: dict[str, GridSpec]) -> SweepConfig:
    return replace(config, sweep=replace(config.sweep, grids=grids))


def _read(made: Plan, cells: list[Cell], asked: dict[str, tuple[float, ...]]) -> None:
    """Losses of the rates asked for, the mean over seeds; a run that failed ends its cell."""
    for cell in cells:
        for rate in asked.get(cell.name, ()):
            runs = [
                run
                for run in made.runs
                if run.job.grid == cell.name and run.settings["lr_peak"] == rate
            ]
            states = [made.statuses[run.run_id] for run in runs]
            if all(state == "finished" for state in states) and runs:
                cell.tried[rate] = sum(made.losses[run.run_id] for run in runs) / len(runs)
            elif any(state == "diverged" for state in states):
                cell.tried[rate] = math.inf
            else:
                what = ", ".join(sorted(set(states) - {"finished"})) or "dropped"
                cell.reason = f"a run at lr_peak={rate:g} is {what}"


def outcome(cell: Cell, config: SweepConfig) -> str:
    """What a cell's search came to, as a line."""
    steps = ", ".join(f"{rate:g}: {loss:.4f}" for rate, loss in sorted(cell.tried.items()))
    if not cell.tried:
        return f"{cell.label}: no rate was trained; {cell.reason}"
    found: Located = located(config.tune, cell.tried)
    reason = cell.reason or found.reason
    return (
        f"{cell.label}: best lr_peak {found.rate:g}, between {found.low:g} and {found.high:g} "
        f"({steps}); the rule's was {cell.guess:g}" + (f"; {reason}" if reason else "")
    )


def _fit(root: Path, console: Console) -> int:
    """Analyse the sweep, and say whether its laws can be used as a rule."""
    from analysis.__main__ import analyse
    from analysis.config import AnalysisConfig
    from train.config.rules.fitted import FITTED, laws_of

    place = relative_to_cwd(root)
    try:
        config = load_config("analysis", [f"sweeps=['{root}']"], AnalysisConfig)
        report = analyse(config, f"isoflop analyze {place}")
        _say(console, f"report: {relative_to_cwd(report)}")
        fits = fits_file(root)
        _say(console, f"optim.rule={FITTED}{place} stands for {laws_of(fits or root)}")
    except IsoflopError as error:
        _say(console, str(error))
    return 0


def _listed(rates: tuple[float, ...]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
