"""Which runs of a sweep share a trunk, with which settings, and where each of them starts."""

from dataclasses import replace

from sweeps.plan.cell import GridCell, resolved
from sweeps.spec.grids import Bounds
from train.config.run_config import RunConfig
from train.config.spec import (
    ModelSpec,
    OptimSpec,
    RunSpec,
    ScheduleSpec,
    known,
    require,
)
from train.config.wsd_branching import latest_branch, trunk_end, trunk_id


def in_trunks(cells: list[GridCell], bounds: Bounds, grid_name: str) -> list[GridCell]:
    """The same cells in the same order, those of one shape with settings that make them one trunk.

    Cells of unlike settings, where the grid crosses its shapes with those, share none.

    Raises:  SpecError: a schedule that depends on a run's length from the start.
    """
    schedule = cells[0].job.spec.schedule
    require(
        schedule.name == "wsd" and schedule.horizon_tokens is None,
        f"sweep.grids.{grid_name}.branch=true got schedule={schedule.name}; use schedule=wsd, "
        f"without horizon_tokens: only its rate does not depend on the length before the decay",
    )
    made = list(cells)
    groups: dict[tuple[ModelSpec, tuple[tuple[str, float], ...]], list[int]] = {}
    for i, cell in enumerate(cells):
        groups.setdefault((cell.job.spec.model, tuple(cell.settings.items())), []).append(i)
    for places in groups.values():
        shared = _sharing([cells[i] for i in places], bounds)
        for place, cell in zip(places, shared, strict=True):
            made[place] = cell
    return made


def _sharing(cells: list[GridCell], bounds: Bounds) -> list[GridCell]:
    """Cells of one shape with the optimiser settings of the longest one that can be trained.

    The warm-up is the shortest one's: a share of the longest's tokens can be more than the shortest
    has. Where none can be trained, the cells stay as they are, to be dropped for their own reasons.
    """
    specs = _trained(cells, bounds)
    if not specs:
        return cells
    longest = max(specs, key=lambda spec: known(spec.horizon.n_tokens, "horizon.n_tokens"))
    cells = [_changed(cell, longest.optim, cell.job.spec.schedule) for cell in cells]
    warmups = [spec.schedule.warmup_tokens for spec in _trained(cells, bounds)]
    shortest = min(known(warmup, "schedule.warmup_tokens") for warmup in warmups)
    schedule = replace(longest.schedule, warmup_tokens=shortest)
    return [_changed(cell, longest.optim, schedule) for cell in cells]


def _trained(cells: list[GridCell], bounds: Bounds) -> list[RunSpec]:
    found = [resolved(cell, bounds) for cell in cells]
    return [spec for spec in found if isinstance(spec, RunSpec)]


def _changed(cell: GridCell, optim: OptimSpec, schedule: ScheduleSpec) -> GridCell:
    spec = replace(cell.job.spec, optim=optim, schedule=schedule)
    runtime = replace(cell.job.runtime, branch=True)
    return replace(cell, job=replace(cell.job, spec=spec, runtime=runtime))


def first_steps(jobs: list[RunConfig]) -> list[int]:
    """The step that each run starts from where the shorter runs of its trunk are trained first."""
    order = sorted(range(len(jobs)), key=lambda i: known(jobs[i].spec.n_steps, "n_steps"))
    starts = [0] * len(jobs)
    left: dict[str, list[int]] = {}
    for i in order:
        spec, latest = jobs[i].spec, latest_branch(jobs[i].spec, jobs[i].runtime)
        identity, end = trunk_id(spec), trunk_end(spec)
        if latest is None or identity is None or end is None:
            continue
        ends = left.setdefault(identity, [0])
        starts[i] = max(step for step in ends if step <= latest)
        ends.append(end)
    return starts
