"""Expansion of a sweep into runs: a pure function; every cell left out keeps its reason."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sweeps.plan.branching import first_steps, in_trunks
from sweeps.plan.cell import GridCell, cost, resolved
from sweeps.plan.settings import settings_label, with_settings
from sweeps.spec.grids import Bounds, GridSpec, SweepSpec
from sweeps.spec.heads import LadderHeads, ladder_heads
from sweeps.spec.shapes import drafts_of, labelled, shapes_of
from train.config.decode import merge
from train.config.resolve import DataInfo
from train.config.run_config import RunConfig, RuntimeSpec, TrackerSpec
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    ModelSpec,
    RunSpec,
    SpecError,
    known,
    require,
)
from train.config.wsd_branching import trunk_id
from train.rundir.starting_point import StartingPoint

FactsLookup = Callable[[DataSpec, int], DataInfo]
"""(data, sequence length) -> facts, which expansion must be told from outside."""

StartsLookup = Callable[[str], list[StartingPoint]]
"""The checkpoints that a name or pattern stands for."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep with what its cost follows from.

    A run that may branch is of a trunk, and finds it trained up to `first_step` when runs of fewer
    tokens come first. Runs of one `cell` and unlike `settings` are compared with each other.
    """

    job: RunConfig
    run_id: str
    n_params: int
    n_tokens: int
    flops: float
    trunk_id: str | None = None
    first_step: int = 0
    cell: str = ""
    settings: dict[str, float] = field(default_factory=dict)

    @property
    def share_to_train(self) -> float:
        """Share of the run's steps that no other run of the sweep trains for it."""
        return 1 - self.first_step / known(self.job.spec.n_steps, "n_steps")

    @property
    def flops_to_spend(self) -> float:
        return self.flops * self.share_to_train

    @property
    def dir_name(self) -> str:
        return f"{self.job.name}-{self.run_id}"


@dataclass(frozen=True)
class SkippedCell:
    """A cell that is not trained: `kind` is dropped (out of bounds) or merged (into its equal)."""

    kind: str
    grid: str
    name: str
    d_model: int
    seeds: list[int]
    horizon: dict[str, float]
    reason: str
    run_id: str | None = None


@dataclass(frozen=True)
class Expansion:
    """The runs of a sweep in grid order, the cells that gave none, and each ladder's head size."""

    runs: list[PlannedRun] = field(default_factory=list)
    left_out: list[SkippedCell] = field(default_factory=list)
    heads: list[LadderHeads] = field(default_factory=list)

    @property
    def dropped(self) -> list[SkippedCell]:
        return [cell for cell in self.left_out if cell.kind == "dropped"]


def expand(
    sweep: SweepSpec,
    base: RunSpec,
    facts: FactsLookup,
    runtime: RuntimeSpec | None = None,
    tracker: TrackerSpec | None = None,
    checkpoints: StartsLookup = lambda place: [],
) -> Expansion:
    """Every run of a sweep, each realised spec once.

    Args:    base: what grids start from; its horizon and seed are replaced by each cell's;
             checkpoints: those of a grid's `init_from`.
    Raises:  SpecError: no grids, a shape or a `base` that can't be built, or no cell in bounds.
    """
    require(
        len(sweep.grids) > 0,
        "sweep.grids is empty; choose sweep=isoflop, grid or ladder, or a preset with grids",
    )
    out = Expansion()
    taken: dict[str, str] = {}
    template = RunConfig(
        spec=base,
        runtime=runtime or RuntimeSpec(),
        tracker=tracker or TrackerSpec(),
        sweep=sweep.name,
    )
    sides: list[_GridSide] = []
    for grid_name, grid in sweep.grids.items():
        spec = merge(base, grid.base, f"sweep.grids.{grid_name}.base")
        known_facts = facts(spec.data, spec.model.seq_len)
        sides.append(_GridSide(replace(template, spec=spec, grid=grid_name), grid, known_facts))
    heads = _shared_heads(sides) if sweep.head_rule == "ladder" else {}
    out.heads.extend(heads.values())
    for side in sides:
        grid = side.grid
        seeds, bounds = grid.seeds or sweep.seeds, grid.bounds or sweep.bounds
        shaped = _shaped(side, heads.get(side.facts.fingerprint), checkpoints)
        cells = list(_cells(grid, side.job, side.facts, shaped))
        for cell in in_trunks(cells, bounds, side.job.grid) if grid.branch else cells:
            _add_cell(out, taken, cell, seeds, bounds)
    if not out.runs:
        reasons = "; ".join(dict.fromkeys(cell.reason for cell in out.dropped[:3]))
        raise SpecError(
            f"all {len(out.dropped)} cells of sweep {sweep.name!r} are dropped: {reasons}"
        )
    runs = _with_unique_names(out.runs)
    starts = first_steps([run.job for run in runs])
    return replace(
        out, runs=[replace(run, first_step=step) for run, step in zip(runs, starts, strict=True)]
    )


def _with_unique_names(runs: list[PlannedRun]) -> list[PlannedRun]:
    """The runs with a part of the run_id behind every name that several have.

    Shapes of one width and depth, and grids whose names run into one another, give equal names.
    """
    counts = Counter(run.job.name for run in runs)
    return [
        replace(run, job=replace(run.job, name=f"{run.job.name}-{run.run_id[:6]}"))
        if counts[run.job.name] > 1
        else run
        for run in runs
    ]


@dataclass(frozen=True)
class _GridSide:
    """A grid, the run that its cells start from, and its data."""

    job: RunConfig
    grid: GridSpec
    facts: DataInfo

    @property
    def template(self) -> ModelSpec:
        model = self.job.spec.model
        return replace(model, vocab_size=model.vocab_size or self.facts.vocab_size)


def _shared_heads(sides: list[_GridSide]) -> dict[str, LadderHeads]:
    """The head size of each ladder, by its data: all grids on one data are fitted together."""
    ladders: dict[str, dict[str, list[ModelSpec]]] = {}
    for side in sides:
        shapes = ladders.setdefault(side.facts.fingerprint, {})
        shapes[side.job.grid] = drafts_of(side.grid, side.template)
    found = {data: ladder_heads(shapes) for data, shapes in ladders.items()}
    return {data: heads for data, heads in found.items() if heads is not None}


def _shaped(
    side: _GridSide, heads: LadderHeads | None, checkpoints: StartsLookup
) -> list[tuple[str, RunSpec]]:
    """The base run in every shape of a grid, or from every checkpoint, each with its label."""
    grid, spec = side.grid, side.job.spec
    begun = [start for place in grid.init_from for start in checkpoints(place)]
    if begun:
        return [
            (f"d{start.model.d_model}-from{start.init.sha256[:6]}", start.applied(spec))
            for start in begun
        ]
    shapes = labelled(shapes_of(grid, side.template, heads))
    return [(label, replace(spec, model=model)) for label, model in shapes]


def _cells(
    grid: GridSpec, job: RunConfig, facts: DataInfo, shaped: list[tuple[str, RunSpec]]
) -> Iterator[GridCell]:
    """Shapes x horizons x settings, horizon by horizon, with the shapes in the order given."""
    horizon_labels = _horizon_labels(grid.horizons)
    for name, value in grid.horizons:
        for label, begun in shaped:
            spec = replace(begun, horizon=HorizonSpec(**{name: value}))
            cell = f"{job.grid}-{horizon_labels[name, value]}-{label}"
            for settings in grid.settings:
                made = replace(
                    job,
                    spec=with_settings(spec, settings),
                    name=cell + settings_label(settings),
                    flops_budget=value if name == "flops" else None,
                )
                yield GridCell(made, facts, (name, value), cell, settings)


def _add_cell(
    out: Expansion, taken: dict[str, str], cell: GridCell, seeds: list[int], bounds: Bounds
) -> None:
    """Resolve a cell once, check it, and add one run a seed."""

    def leave_out(kind: str, which: list[int], reason: str, run_id: str | None = None) -> None:
        name, value = cell.horizon
        job = cell.job
        out.left_out.append(
            SkippedCell(
                kind,
                job.grid,
                job.name,
                job.spec.model.d_model,
                which,
                {name: value},
                reason,
                run_id,
            )
        )

    spec = resolved(cell, bounds)
    if isinstance(spec, str):
        leave_out("dropped", seeds, spec)
        return
    n_params, n_tokens, flops = cost(spec)
    for seed in seeds:
        name = f"{cell.job.name}-s{seed}"
        job = replace(cell.job, spec=replace(spec, seed=seed), name=name)
        run_id = job.run_id
        if run_id in taken:
            leave_out("merged", [seed], f"the same run as {taken[run_id]}", run_id)
            continue
        taken[run_id] = name
        trunk = trunk_id(job.spec) if job.runtime.branch else None
        out.runs.append(
            PlannedRun(
                job,
                run_id,
                n_params,
                n_tokens,
                flops,
                trunk,
                cell=cell.name,
                settings=cell.settings,
            )
        )


def _horizon_labels(horizons: Sequence[tuple[str, float]]) -> dict[tuple[str, float], str]:
    """Each horizon in three digits, or in as many as tell it from the others of its grid."""
    made: dict[tuple[str, float], str] = {}
    for name, value in dict.fromkeys(horizons):
        suffix = {"flops": "", "n_tokens": "tok", "tokens_per_param": "x"}[name]
        others = [other for kind, other in horizons if kind == name and other != value]
        digits = 3
        while digits < 17 and any(_rounded(value, digits) == _rounded(v, digits) for v in others):
            digits += 1
        made[name, value] = f"{short_number(value, digits)}{suffix}"
    return made


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


def short_number(value: float, digits: int = 3) -> str:
    """Three significant digits without a plus or a padded exponent: 1e12, 2.5e6, 20, 0.5."""
    text = f"{value:.{digits}g}"
    if "e" not in text and abs(value) < 10_000:
        return text
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
