"""Runs that a sweep need not finish: sweep.early_stop=0.5.

A run in progress is stopped where, past that share of its tokens, the interval of its predicted end
lies above the losses of all its alternatives: the other runs of its cell under other settings, or
the other sizes of its budget. It keeps its record with the status `stopped`, which no fit uses.

Never stopped is the run next to the best one, on either side in size (or in the setting): without
it nothing would show that the optimum is not beyond. So the two ends of a profile's far sides go.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.studies.curves.in_progress import PredictedEnd
from sweeps.directory.run_state import RunState, finite_number, read_state
from sweeps.manage.ends import Paced, SweepEnds
from train.config.errors import IsoflopError
from train.rundir.atomic import iter_jsonl, write_json
from train.rundir.record import RunPaths
from train.rundir.sweep_layout import SweepPaths, planned_run_dirs

log = logging.getLogger(__name__)

WATCH_SECONDS = 30.0
"""Between two looks at the runs in progress."""

FEWEST_ALTERNATIVES = 2
"""Alternatives with a known or predicted end that a run must lie above."""


@dataclass(frozen=True)
class Alternative:
    """A run among its alternatives.

    Attributes:
        run_id: Its identity.
        group: What it competes in: its cell of settings, or its budget.
        place: Where it lies among them: its size, or its settings, one or several.
        low: Least loss that it may end with; NaN where nothing is known.
        high: Largest.
        share: Share of its tokens that are done, of a run in progress; 0 for others.
    """

    run_id: str
    group: str
    place: tuple[float, ...]
    low: float
    high: float
    share: float = 0.0


def to_stop(runs: Sequence[Alternative], least_share: float) -> dict[str, str]:
    """run_id -> why it is stopped, of runs in progress that end above all alternatives.

    Args:
        runs: All runs of a sweep that compete.
        least_share: Share of its tokens before which none is stopped.
    """
    groups: dict[str, list[Alternative]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    found = {}
    for members in groups.values():
        known = [one for one in members if math.isfinite(one.high)]
        if not known:
            continue
        best = min(known, key=lambda one: one.high)
        for run in known:
            others = [one for one in known if one is not run]
            if not 0 < least_share <= run.share or len(others) < FEWEST_ALTERNATIVES:
                continue
            highest = max(one.high for one in others)
            if run.low > highest and any(_between(one, run, best) for one in others):
                found[run.run_id] = (
                    f"predicted to end at {run.low:.4f} or more ({run.share:.0%} done), above its "
                    f"{len(others)} alternatives, which end at {highest:.4f} or less"
                )
    return found


def _between(one: Alternative, run: Alternative, best: Alternative) -> bool:
    """Whether a run that is not the best lies between another and the best, so that the best keeps
    a neighbour on that side.
    """
    if one is best:
        return False
    return all(
        min(x, y) <= place <= max(x, y)
        for x, place, y in zip(run.place, one.place, best.place, strict=True)
    )


def early_stopper(root: Path, least_share: float) -> Callable[[], None]:
    """What a launch calls again and again: it looks at the runs and leaves word which to stop."""
    ends = SweepEnds(root)

    def look() -> None:
        try:
            decide()
        except IsoflopError as error:
            log.warning("no run is stopped early: %s", error)

    def decide() -> None:
        states = [read_state(path) for path in planned_run_dirs(root)]
        if any(run.status == "running" and run.fraction >= least_share for run in states):
            found = alternatives(root, states, ends.of(states))
            places = {run.run_id: run.run_dir for run in states}
            for run_id, reason in to_stop(found, least_share).items():
                leave_word(places[run_id], reason, next(a for a in found if a.run_id == run_id))

    return Paced(look, WATCH_SECONDS)


def leave_word(run_dir: Path, reason: str, run: Alternative) -> None:
    """Write the decision where the run's loop reads it; it holds after a restart too."""
    path = RunPaths(run_dir).early_stop
    if not path.exists():
        write_json(path, {"reason": reason, "low": run.low, "high": run.high})


def alternatives(
    root: Path, states: Sequence[RunState], ends: Mapping[str, PredictedEnd]
) -> list[Alternative]:
    """The runs of a plan that compete with others, with what is known of their ends."""
    rows = {str(row["run_id"]): row for row in iter_jsonl(SweepPaths(root).plan) if "run_id" in row}
    found = []
    for run in states:
        row = rows.get(run.run_id, {})
        settings = row.get("settings") or {}
        budget, size = finite_number(row.get("flops_budget")), finite_number(row.get("n_params"))
        if settings:
            group = f"{row.get('grid')} cell {row.get('cell')}"
            # The order alone counts, and a setting may be 0, such as a weight decay.
            place = tuple(float(value) for value in settings.values())
        elif budget and size:
            group, place = f"{row.get('grid')} budget {budget:.6g}", (size,)
        else:
            continue
        low, high = _span(run, ends.get(run.run_id))
        share = run.fraction if run.status == "running" else 0.0
        found.append(Alternative(run.run_id, group, place, low, high, share))
    return found


def _span(run: RunState, end: PredictedEnd | None) -> tuple[float, float]:
    """The least and the largest loss that a run ends with, as far as it is known."""
    nan = float("nan")
    if run.status == "finished" and run.loss is not None:
        return run.loss, run.loss
    if run.status == "stopped":
        return _word(run.run_dir)
    return (end.low, end.high) if end is not None and end.known else (nan, nan)


def _word(run_dir: Path) -> tuple[float, float]:
    """The interval of a stopped run's end, as it stood when it was stopped."""
    try:
        content = json.loads(RunPaths(run_dir).early_stop.read_bytes())
        return float(content["low"]), float(content["high"])
    except (OSError, ValueError, KeyError, TypeError):
        return float("nan"), float("nan")
