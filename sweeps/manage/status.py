"""The standing of every run, read from files: as a table, watched or not, or as JSON."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.directory.run_state import Jobs, RunState, read_state
from sweeps.plan.plan import duration
from train.rundir.atomic import iter_jsonl
from train.rundir.record import DONE, STATUSES
from train.rundir.sweep_layout import SweepPaths, run_dirs

SHOWN_RUNS = 40
WATCH_SECONDS = 2.0
QUEUE_SECONDS = 20.0
"""How old an answer of the batch system may get while watching; each question is work for it."""

_COLOURS = {"finished": "green", "running": "cyan", "planned": "dim", "diverged": "yellow"}


@dataclass(frozen=True)
class SweepState:
    """All runs of a sweep with the totals that people ask for."""

    root: Path
    runs: list[RunState]
    seconds_left: float | None

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


def read_sweep(root: Path, jobs: Jobs | None = None) -> SweepState:
    """The state of every run directory of a sweep.

    Raises:  StoreError: no sweep there.
    """
    runs = [read_state(path, jobs) for path in run_dirs(root)]
    return SweepState(root, runs, seconds_left(runs, predictions(root)))


def predictions(root: Path) -> dict[str, float]:
    """run_id -> seconds that the plan predicted, where it did."""
    return {
        str(row["run_id"]): float(row["predicted_seconds"])
        for row in iter_jsonl(SweepPaths(root).plan)
        if row.get("predicted_seconds") and "run_id" in row
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
    """What people see: totals, then the runs that need a look, or all of a small sweep."""
    table = Table()
    for heading in ("run", "status", "progress", "loss", "tok/s", "note"):
        table.add_column(
            heading, justify="left" if heading in ("run", "status", "note") else "right"
        )
    shown = _shown(state.runs)
    for run in shown:
        table.add_row(*_row(run), style=_COLOURS.get(run.status, "red"))
    parts: list[Any] = [Text(_totals(state)), table] if shown else [Text(_totals(state))]
    if len(shown) < len(state.runs):
        parts.append(Text(f"{len(state.runs) - len(shown)} more runs; format=json lists all"))
    return Group(*parts)


def status_json(state: SweepState) -> dict[str, Any]:
    """The state as plain values, for format=json."""
    return {
        "root": str(state.root),
        "counts": state.counts,
        "n_runs": len(state.runs),
        "n_done": state.n_done,
        "tokens_per_second": state.tokens_per_second,
        "seconds_left": state.seconds_left,
        "runs": [{**asdict(run), "run_dir": str(run.run_dir)} for run in state.runs],
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
    asked, known = -math.inf, None
    while True:
        if time.monotonic() - asked >= QUEUE_SECONDS:
            known, asked = jobs(), time.monotonic()
        state = read_sweep(root, known)
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
    if state.tokens_per_second:
        text += f"; {state.tokens_per_second:,.0f} tokens/s"
    if state.seconds_left is not None:
        text += f"; about {duration(state.seconds_left)} left"
    return text
