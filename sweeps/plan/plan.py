"""The plan of a sweep: every run with its cost and status, and the table that shows it."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sweeps.directory.run_state import read_state
from sweeps.plan.cost_model import wall_seconds
from sweeps.plan.data_info import DataInfoCache, require_launchable
from sweeps.plan.expand import Expansion, PlannedRun, expand, short_number
from sweeps.plan.hardware_estimate import Disk, cost_lines, disk_bytes, in_bytes
from sweeps.plan.machine import make_slots, usable_cores, visible_devices
from sweeps.plan.packing import Packing, placed_by
from sweeps.plan.settings import Trial, best_lines, settings_text
from sweeps.plan.speed_model import gpus_a_run, speed_model
from sweeps.plan.write_sweep import placed
from sweeps.spec.config import SweepConfig
from train.data.prepared.outlook import Preparation
from train.rundir.record import DONE
from train.rundir.starting_point import starting_points

SHOWN_ROWS = 60
_TEXTS = ("grid", "shape", "settings")


@dataclass(frozen=True)
class Plan:
    """Runs, their directories and predicted seconds (None unknown), and which are done."""

    expansion: Expansion
    places: dict[str, Path]
    seconds: list[float | None]
    statuses: dict[str, str]
    workers: int
    assumed: tuple[str, ...] = ()
    on_gpus: bool = False
    data: tuple[str, ...] = ()
    preparations: tuple[Preparation, ...] = ()
    losses: dict[str, float] = field(default_factory=dict)
    packing: Packing | None = None
    token_bytes: float = 0.0

    @property
    def disk(self) -> Disk:
        """What the runs and their data take on the disk."""
        text = sum(one.text_bytes for one in self.preparations if one.downloaded)
        return disk_bytes(self.runs, self.workers, self.token_bytes, text)

    @property
    def runs(self) -> list[PlannedRun]:
        return self.expansion.runs

    @property
    def packing_lines(self) -> list[str]:
        """How runs share this machine, where that was measured."""
        return [self.packing.text()] if self.packing else []

    def wall_seconds(self) -> float | None:
        """Predicted wall clock of what is left, longest first over the launcher's workers.

        Runs of one trunk count as one: they wait for each other.
        """
        left = [
            (run, s)
            for run, s in zip(self.runs, self.seconds, strict=True)
            if self.statuses[run.run_id] not in DONE
        ]
        known = [(run, seconds) for run, seconds in left if seconds is not None]
        return wall_seconds(known, self.workers) if len(known) == len(left) else None


def make_plan(config: SweepConfig) -> Plan:
    """Expand a sweep, look up what is done, and predict the cost of the rest.

    Raises:  IsoflopError: a sweep or its data that can't work, or one that is a plan alone.
    """
    require_launchable(config)
    config = replace(config, launcher=placed_by(config.launcher, config.root))
    facts = DataInfoCache(config)
    expansion = expand(
        config.sweep, config.base, facts, config.run_settings, config.tracker, starting_points
    )
    places = placed(config.root, expansion.runs)
    states = {
        run.run_id: read_state(path)
        for run in expansion.runs
        if (path := places[run.run_id]).exists()
    }
    devices = visible_devices(config.launcher)
    model = speed_model(config, expansion.runs, states, devices)
    return Plan(
        expansion=expansion,
        places=places,
        seconds=[model.seconds(run) for run in expansion.runs],
        statuses={
            run.run_id: states[run.run_id].status if run.run_id in states else "planned"
            for run in expansion.runs
        },
        workers=_workers(config, devices),
        losses={
            run_id: state.loss
            for run_id, state in states.items()
            if state.status == "finished" and state.loss is not None
        },
        assumed=(*facts.assumed.values(), *model.notes),
        on_gpus=bool(devices) or gpus_a_run(config) > 0,
        data=tuple(facts.prepared.values()),
        preparations=tuple(facts.preparations.values()),
        token_bytes=facts.token_bytes,
    )


def print_plan(plan: Plan, config: SweepConfig, console: Console) -> None:
    """The cost table, the cells left out with their reasons, and the totals."""
    table = Table(title=f"sweep {config.sweep.name} in {config.root}", title_justify="left")
    swept = any(run.settings for run in plan.runs)
    for heading in (
        "grid",
        "shape",
        *(["settings"] if swept else []),
        "N",
        "D",
        "D/N",
        "steps",
        "FLOPs",
        "predicted",
        "runs",
        "done",
    ):
        table.add_column(heading, justify="left" if heading in _TEXTS else "right")
    rows = _rows(plan, swept)
    for row in rows[:SHOWN_ROWS]:
        table.add_row(*row)
    console.print(table)
    if len(rows) > SHOWN_ROWS:
        console.print(f"... and {len(rows) - SHOWN_ROWS} more rows; format=json lists every run")
    for cell in plan.expansion.left_out[:SHOWN_ROWS]:
        console.print(f"{cell.kind}: {cell.name} (seeds {_listed(cell.seeds)}): {cell.reason}")
    if len(plan.expansion.left_out) > SHOWN_ROWS:
        console.print(f"... and {len(plan.expansion.left_out) - SHOWN_ROWS} more cells left out")
    console.print(_totals(plan, config))
    costs = cost_lines(plan.runs, plan.workers, gpus_a_run(config), plan.disk)
    preparing = map(_preparation_line, plan.preparations)
    for line in (
        *_best_lines(plan),
        *_trunk_lines(plan),
        *(heads.text() for heads in plan.expansion.heads),
        *plan.data,
        *plan.assumed,
        *plan.packing_lines,
        *preparing,
        *costs,
    ):
        console.print(line, highlight=False, soft_wrap=True)


def _best_lines(plan: Plan) -> list[str]:
    """The best settings of each cell, once a run of any is finished."""
    if not plan.losses:
        return []
    return best_lines(Trial(r.cell, r.settings, plan.losses.get(r.run_id)) for r in plan.runs)


def _preparation_line(one: Preparation) -> str:
    return (
        f"data preparation, {one.basis}: {one.name}: {in_bytes(one.text_bytes)} of text and "
        f"{in_bytes(one.token_bytes)} of tokens on disk, about {duration(one.seconds)} on "
        f"{one.cores} cores; once, before the first run"
    )


def _trunk_lines(plan: Plan) -> list[str]:
    """What branching settled for every cell, in words; nothing where no run branches."""
    trunks = {run.trunk_id for run in plan.runs if run.trunk_id is not None}
    if not trunks:
        return []
    n_runs = sum(run.trunk_id is not None for run in plan.runs)
    return [
        f"{n_runs} runs branch from {len(trunks)} trunks, one a shape and seed; grids with "
        f"branch=true take rate, batch, weight decay and betas of a shape's longest run, and the "
        f"warm-up of its shortest"
    ]


def plan_json(plan: Plan, config: SweepConfig) -> dict[str, Any]:
    """The plan as plain values, for format=json."""
    return {
        "sweep": config.sweep.name,
        "root": str(config.root),
        "wall_seconds": plan.wall_seconds(),
        "disk_bytes": plan.disk.total,
        "assumed": list(plan.assumed),
        "packing": asdict(plan.packing) if plan.packing else None,
        "data": list(plan.data),
        "heads": [asdict(heads) for heads in plan.expansion.heads],
        "preparations": [vars(one) for one in plan.preparations],
        "runs": [
            {
                "run_id": run.run_id,
                "name": run.job.name,
                "grid": run.job.grid,
                "dir": str(plan.places[run.run_id]),
                "status": plan.statuses[run.run_id],
                "n_params": run.n_params,
                "n_tokens": run.n_tokens,
                "flops": run.flops,
                "flops_to_spend": run.flops_to_spend,
                "trunk_id": run.trunk_id,
                "flops_budget": run.job.flops_budget,
                "cell": run.cell,
                "settings": run.settings,
                "loss": plan.losses.get(run.run_id),
                "predicted_seconds": seconds,
            }
            for run, seconds in zip(plan.runs, plan.seconds, strict=True)
        ],
        "left_out": [vars(cell) for cell in plan.expansion.left_out],
    }


def _workers(config: SweepConfig, devices: list[str]) -> int:
    launcher = config.launcher
    if launcher.kind == "inline":
        return 1
    if launcher.kind == "slurm":
        return launcher.max_parallel * launcher.runs_per_gpu
    return len(make_slots(launcher, usable_cores(), devices))


def _rows(plan: Plan, swept: bool) -> list[list[str]]:
    """One row a cell and its settings, seeds together."""
    cells: dict[tuple[str, int, int, str], list[tuple[PlannedRun, float | None]]] = {}
    for run, seconds in zip(plan.runs, plan.seconds, strict=True):
        key = (run.job.grid, run.n_params, run.n_tokens, settings_text(run.settings))
        cells.setdefault(key, []).append((run, seconds))
    return [_row(plan, members, swept) for members in cells.values()]


def _row(plan: Plan, members: list[tuple[PlannedRun, float | None]], swept: bool) -> list[str]:
    run, seconds = members[0]
    model = run.job.spec.model
    done = sum(plan.statuses[r.run_id] in DONE for r, _ in members)
    return [
        run.job.grid,
        f"d{model.d_model} l{model.n_layers} h{model.n_heads}",
        *([settings_text(run.settings)] if swept else []),
        f"{run.n_params:,}",
        short_number(run.n_tokens),
        f"{run.n_tokens / run.n_params:.1f}",
        str(run.job.spec.n_steps),
        short_number(run.flops),
        "-" if seconds is None else duration(seconds),
        str(len(members)),
        str(done),
    ]


def _totals(plan: Plan, config: SweepConfig) -> str:
    done = sum(status in DONE for status in plan.statuses.values())
    flops, spent = (sum(getattr(run, n) for run in plan.runs) for n in ("flops", "flops_to_spend"))
    saved = f" ({short_number(spent)} to be spent, the rest shared)" if spent < flops else ""
    wall = plan.wall_seconds()
    time = "not predicted" if wall is None else f"about {duration(wall)}"
    dropped = sum(len(cell.seeds) for cell in plan.expansion.dropped)
    merged = len(plan.expansion.left_out) - len(plan.expansion.dropped)
    return (
        f"{len(plan.runs)} runs, {done} done, {dropped} dropped, {merged} merged; "
        f"{short_number(flops)} FLOPs in all{saved}; left: {time} "
        f"with launcher {config.launcher.kind} ({plan.workers} at once)"
    )


def duration(seconds: float) -> str:
    """Seconds as people say them: 4.2 s, 3 min 20 s, 2 h 05 min, 3 d 4 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
    return f"{seconds // 86400:.0f} d {seconds % 86400 // 3600:.0f} h"


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds)) if len(seeds) <= 6 else f"{seeds[0]}..{seeds[-1]}"
