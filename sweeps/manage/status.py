"""The status of every run, read from files: as a table, watched or not, or as JSON."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from analysis.studies.curves.in_progress import PredictedEnd
from sweeps.directory.disk import Room, room
from sweeps.directory.run_state import Jobs, RunState, finite_number, read_state
from sweeps.manage.ends import SweepEnds, end_json, end_text
from sweeps.plan.hardware_estimate import in_bytes
from sweeps.plan.plan import duration
from sweeps.plan.settings import Trial, best_lines
from sweeps.spec.grids import AXES
from train.rundir.atomic import iter_jsonl
from train.rundir.record import DONE, STATUSES
from train.rundir.sweep_layout import SweepPaths, planned_ids, run_dirs

SHOWN_RUNS = 40
WATCH_SECONDS = 2.0
QUEUE_SECONDS = 20.0
"""How old an answer of the batch system may get while watching; each question is work for it."""

_COLOURS = {"finished": "green", "running": "cyan", "planned": "dim", "diverged": "yellow",
            "stopped": "yellow"}  # fmt: skip


@dataclass(frozen=True)
class SweepState:
    """All runs of a sweep's plan with the totals that people ask for; those of no plan apart.

    `best` names the best settings of each cell that is crossed with several; `ends` are the losses
    that runs in progress are predicted to end with, by run_id.
    `bytes_left` are the checkpoints that runs of the plan have still to write, and `room` is what
    may be written.
    """

    root: Path
    runs: list[RunState]
    seconds_left: float | None
    unplanned: tuple[RunState, ...] = ()
    bytes_left: float = 0.0
    room: Room | None = None
    plan_damaged: bool = False
    best: tuple[str, ...] = ()
    ends: Mapping[str, PredictedEnd] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(run.status for run in self.runs)
        return {status: found[status] for status in STATUSES if found[status]}

    @property
    def n_done(self) -> int:
        return sum(run.done for run in self.runs)

    @property
    def tokens_per_second(self) -> float:
        return sum(run.tokens_per_second or 0.0 for run in self.runs if run.status == "running")


def read_sweep(
    root: Path,
    jobs: Jobs | None = None,
    free: Room | None = None,
    ends: SweepEnds | None = None,
) -> SweepState:
    """The state of every run directory of a sweep; runs of no plan are apart and count nowhere.

    Raises:  StoreError: no sweep there.
    """
    states, ids = [read_state(path, jobs) for path in run_dirs(root)], planned_ids(root)
    runs = [state for state in states if ids is None or state.run_id in ids]
    unplanned = tuple(state for state in states if ids is not None and state.run_id not in ids)
    sizes = _numbers_of_plan(root, "checkpoint_bytes")
    bytes_left = sum(sizes.get(run.run_id, 0.0) for run in runs if not run.done)
    left = seconds_left(runs, predictions(root))
    damaged = ids is None and SweepPaths(root).plan.exists()
    best = tuple(best_lines(_trials(root, runs)))
    predicted = (ends or SweepEnds(root)).of(runs)
    return SweepState(root, runs, left, unplanned, bytes_left, free, damaged, best, predicted)


def _trials(root: Path, runs: list[RunState]) -> list[Trial]:
    """Planned runs of cells that are crossed with settings, with the losses of finished ones."""
    losses = {run.run_id: run.loss for run in runs if run.status == "finished"}
    return [
        Trial(str(row.get("cell")), settings, losses.get(str(row.get("run_id"))))
        for row in iter_jsonl(SweepPaths(root).plan)
        if isinstance(settings := row.get("settings"), dict)
        and all(
            name in AXES and finite_number(value) is not None for name, value in settings.items()
        )
    ]


def predictions(root: Path) -> dict[str, float]:
    """run_id -> seconds that the plan predicted, where it did."""
    return _numbers_of_plan(root, "predicted_seconds")


def _numbers_of_plan(root: Path, name: str) -> dict[str, float]:
    return {
        str(row["run_id"]): value
        for row in iter_jsonl(SweepPaths(root).plan)
        if "run_id" in row and (value := finite_number(row.get(name)))
    }


def seconds_left(runs: list[RunState], predicted: dict[str, float]) -> float | None:
    """Wall-clock seconds until no run is left, at the present number of runs in progress.

    The prediction of what is left, scaled by how the finished runs compared with theirs; None while
    nothing is running or nothing was predicted.
    """
    n_running = sum(run.status == "running" for run in runs)
    left = sum(
        predicted.get(run.run_id, 0.0) * (1 - run.fraction)
        for run in runs
        if run.status not in DONE
    )
    if not n_running or not left:
        return None
    finished = [r for r in runs if r.wall_seconds and predicted.get(r.run_id)]
    real = sum(run.wall_seconds or 0.0 for run in finished)
    scale = real / sum(predicted[run.run_id] for run in finished) if finished else 1.0
    return left * scale / n_running


def status_table(state: SweepState) -> Group:
    """What people see: totals, then the runs that need a look, or all of a small sweep.

    To be printed by a `DataConsole`: names and notes are data.
    """
    table = Table()
    # Only where some end is predicted: a column that stays empty would cost the note its room.
    ends = any(end.known for end in state.ends.values())
    for heading in ("run", "status", "progress", "loss", *(["ends at"] * ends), "tok/s", "note"):
        table.add_column(
            heading, justify="left" if heading in ("run", "status", "note") else "right"
        )
    shown = _shown(state.runs)
    for run in shown:
        cells = _row(run)
        if ends:
            cells.insert(4, end_text(state.ends.get(run.run_id)))
        table.add_row(*cells, style=_COLOURS.get(run.status, "red"))
    parts: list[Any] = [_totals(state), table] if shown else [_totals(state)]
    if len(shown) < len(state.runs):
        parts.append(f"{len(state.runs) - len(shown)} more runs; format=json lists all")
    parts += state.best[:SHOWN_RUNS]
    if len(state.best) > SHOWN_RUNS:
        parts.append(f"... and the best of {len(state.best) - SHOWN_RUNS} more cells; format=json")
    parts += _end_lines(state)
    if (line := disk_line(state)) is not None:
        parts.append(line)
    if state.unplanned:
        parts.append(unplanned_line(state))
    if state.plan_damaged:
        parts.append(
            "plan.jsonl can't be read whole: every run here counts as planned; launch the sweep "
            "again, which writes it again and trains nothing that is done"
        )
    return Group(*parts)


def _end_lines(state: SweepState) -> list[str]:
    """What predicted ends are, or why there are none."""
    if any(end.known for end in state.ends.values()):
        return ["ends at: validation loss predicted from finished runs' curves, with 95 % interval"]
    reasons = Counter(end.reason for end in state.ends.values())
    return [f"no predicted end of {n} runs: {reason}" for reason, n in reasons.items()][:3]


def disk_line(state: SweepState) -> Text | None:
    """What is still to be written, and whether there is room; None where that is not known."""
    if state.room is None or not state.bytes_left:
        return None
    fits = state.bytes_left <= state.room.n_bytes
    text = (
        f"disk: about {in_bytes(state.bytes_left)} of checkpoints still to be written, "
        f"{in_bytes(state.room.n_bytes)} {state.room.limit}"
    )
    return Text(text) if fits else Text(f"{text}: too little", style="red")


def unplanned_line(state: SweepState) -> str:
    """How many runs are in no plan, and how they are removed."""
    counts = Counter(run.status for run in state.unplanned)
    listed = ", ".join(f"{n} {status}" for status, n in counts.items())
    return (
        f"{len(state.unplanned)} more runs are in no plan ({listed}), left by an earlier grid; "
        f"they are not counted: isoflop sweep clean what=unplanned deletes them"
    )


def status_json(state: SweepState) -> dict[str, Any]:
    """The state as plain values, for format=json."""
    return {
        "root": str(state.root),
        "counts": state.counts,
        "n_runs": len(state.runs),
        "n_done": state.n_done,
        "bytes_left": state.bytes_left,
        "bytes_free": state.room.n_bytes if state.room else None,
        "n_unplanned": len(state.unplanned),
        "plan_damaged": state.plan_damaged,
        "best": list(state.best),
        "tokens_per_second": state.tokens_per_second,
        "seconds_left": state.seconds_left,
        "predicted_ends": {name: end_json(end) for name, end in state.ends.items()},
        "runs": [{**asdict(run), "run_dir": str(run.run_dir)} for run in state.runs],
        "unplanned": [{**asdict(run), "run_dir": str(run.run_dir)} for run in state.unplanned],
    }


def show_status(
    root: Path,
    console: Console,
    as_json: bool,
    watch: bool,
    jobs: Callable[[], Jobs | None] = lambda: None,
) -> None:
    """Print the state once, or with `watch` again and again until every run is done."""
    states = _states(root, watch, jobs)
    if as_json:
        for state in states:
            print(json.dumps(status_json(state)), flush=True)
    elif watch and console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            for state in states:
                live.update(status_table(state), refresh=True)
    else:
        for state in states:
            console.print(status_table(state))


def _states(root: Path, watch: bool, jobs: Callable[[], Jobs | None]) -> Iterable[SweepState]:
    asked, known, free, ends = -math.inf, None, None, SweepEnds(root)
    while True:
        if time.monotonic() - asked >= QUEUE_SECONDS:
            known, free, asked = jobs(), room(root), time.monotonic()
        state = read_sweep(root, known, free, ends)
        yield state
        if not watch or state.n_done == len(state.runs):
            return
        time.sleep(WATCH_SECONDS)


def _shown(runs: list[RunState]) -> list[RunState]:
    if len(runs) <= SHOWN_RUNS:
        return runs
    running = [run for run in runs if run.status == "running"]
    trouble = [run for run in runs if run.status not in ("running", "planned", "finished")]
    return (running + trouble)[:SHOWN_RUNS]


def _row(run: RunState) -> list[str]:
    note = run.note
    if run.status == "running":
        silent = run.silent_seconds or 0.0
        note = run.holder + (f", silent for {duration(silent)}" if silent > 60 else "")
    if run.loss_spikes:
        spikes = "1 loss spike" if run.loss_spikes == 1 else f"{run.loss_spikes} loss spikes"
        note = f"{note}; {spikes}" if note else spikes
    return [
        run.name,
        run.status,
        f"{100 * run.fraction:.0f} %",
        "" if run.loss is None else f"{run.loss:.4f}",
        "" if run.tokens_per_second is None else f"{run.tokens_per_second:,.0f}",
        note,
    ]


def _totals(state: SweepState) -> str:
    counts = ", ".join(f"{n} {status}" for status, n in state.counts.items()) or "no runs"
    text = f"{state.root}: {state.n_done} of {len(state.runs)} runs done ({counts})"
    if spiked := [run.loss_spikes for run in state.runs if run.loss_spikes]:
        text += f"; {sum(spiked)} loss spikes in {len(spiked)} runs"
    if state.tokens_per_second:
        text += f"; {state.tokens_per_second:,.0f} tokens/s"
    if state.seconds_left is not None:
        text += f"; about {duration(state.seconds_left)} left"
    return text
