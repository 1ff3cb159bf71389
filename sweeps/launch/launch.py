"""Launch: write the plan, hand what is not done to the chosen launcher, and gather the results."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from rich.console import Console

from sweeps.directory.disk import room
from sweeps.directory.record_check import checked_record
from sweeps.directory.run_state import RunState, read_state
from sweeps.launch.failures import Streak
from sweeps.launch.local import run_inline, run_pool
from sweeps.launch.progress import display
from sweeps.launch.scheduler import QueuedRun
from sweeps.plan.cost_model import predicted_bytes
from sweeps.plan.hardware_estimate import disk_bytes, in_bytes
from sweeps.plan.plan import Plan
from sweeps.plan.write_sweep import create_run, write_plan
from sweeps.spec.config import SweepConfig
from sweeps.spec.launcher import LauncherSpec
from train.config.spec import IsoflopError
from train.rundir.atomic import write_atomic, write_json
from train.rundir.lock import LockOwner, holder, is_alive, this_process
from train.rundir.record import DONE, RunPaths, last_status
from train.rundir.sweep_layout import StoreError, SweepPaths, prepare

POLL_SECONDS = 2.0
"""How often runs in another process's hands are looked at."""

INTERRUPTED_EXIT = 130


@dataclass(frozen=True)
class WriteResult:
    """What writing a plan found: the directories of its runs, and the damage that was repaired."""

    run_dirs: list[Path]
    repaired: list[str]


def write_sweep(
    plan: Plan, config: SweepConfig, composed: str, overrides: list[str]
) -> WriteResult:
    """Write sweep.yaml, plan.jsonl and every run directory; mend damaged spec.json and record.json.

    Raises:  IsoflopError: the directory is a file, read-only or full.
    """
    root = config.root
    prepare(root)
    write_atomic(SweepPaths(root).config, composed)
    write_plan(root, plan.expansion, plan.places, [s or 0.0 for s in plan.seconds])
    if plan.packing is not None:
        write_json(SweepPaths(root).packing, asdict(plan.packing))
    repaired = []
    for run in plan.runs:
        run_dir = plan.places[run.run_id]
        if create_run(run_dir, run, overrides):
            repaired.append(f"{run_dir.name}: spec.json was damaged or edited; written again")
        if _unreadable_record(run_dir):
            RunPaths(run_dir).record.rename(run_dir / "record.json.damaged")
            repaired.append(f"{run_dir.name}: record.json was damaged; set aside, the run goes on")
    return WriteResult([plan.places[run.run_id] for run in plan.runs], repaired)


def require_room(plan: Plan, root: Path, force: bool) -> None:
    """Check that what is left of a plan fits on the disk, before hours are spent on it.

    Token shards lie in a cache of their own and are there by now.
    Raises:  StoreError: it does not fit, and `force` was not given.
    """
    left = [run for run in plan.runs if plan.statuses[run.run_id] not in DONE]
    disk = disk_bytes(left, plan.workers)
    needed, found = disk.total, room(root)
    if force or found is None or needed <= found.n_bytes:
        return
    raise StoreError(
        f"{len(left)} runs need about {in_bytes(needed)} in {root}, and {in_bytes(found.n_bytes)} "
        f"are {found.limit}; free some, choose another out=DIR or fewer runtime.keep_checkpoints, "
        f"or pass force=true"
    )


def tasks_of(plan: Plan) -> list[QueuedRun]:
    """What a launcher needs to know of each run that has no record yet."""
    return [
        QueuedRun(
            run_dir=plan.places[run.run_id],
            seconds=seconds or 0.0,
            flops=run.flops_to_spend,
            memory_bytes=predicted_bytes(run.job.spec, run.job.runtime.micro_batch, plan.on_gpus),
            trunk=run.trunk_id,
            n_tokens=run.n_tokens,
        )
        for run, seconds in zip(plan.runs, plan.seconds, strict=True)
        if not RunPaths(plan.places[run.run_id]).record.exists()
    ]


def train_here(
    tasks: list[QueuedRun],
    launcher: LauncherSpec,
    root: Path,
    n_runs: int,
    console: Console,
    watch: Callable[[], None] | None = None,
) -> bool:
    """Run tasks inline or in a pool until none is left, runs held by another process included.

    A pool calls `watch` again and again while it trains.

    Returns: False where the launch was interrupted.
    Raises:  GaveUpError: too many runs in a row failed.
    """
    streak = Streak(launcher.max_failures)
    with _announced(root), display(console, n_runs, n_runs - len(tasks)) as report:

        def start(chosen: list[QueuedRun]) -> bool:
            if launcher.kind == "inline":
                return run_inline(chosen, report, ended=streak.note)
            logs = SweepPaths(root).logs
            return run_pool(chosen, launcher, logs, report, ended=streak.note, watch=watch)

        return until_done(tasks, start, console)


def until_done(
    tasks: list[QueuedRun],
    start: Callable[[list[QueuedRun]], bool],
    console: Console,
    poll_seconds: float = POLL_SECONDS,
) -> bool:
    """Start tasks, then wait for those that another live process holds; take over if it dies.

    Each run is taken over at most once: one that kills its worker every time is not tried forever.
    """
    uninterrupted = start(tasks) if tasks else True
    waiting = [task for task in tasks if _elsewhere(task.run_dir)]
    if any(_held(task.run_dir) for task in waiting) and uninterrupted:
        console.print(
            f"waiting for {len(waiting)} runs that another process trains (Ctrl-C leaves)"
        )
    while waiting and uninterrupted:
        held = [task for task in waiting if _held(task.run_dir)]
        orphaned = [task for task in waiting if task not in held and _elsewhere(task.run_dir)]
        if orphaned:
            uninterrupted = start(orphaned)
        waiting = held
        if waiting and uninterrupted:
            time.sleep(poll_seconds)
    return uninterrupted


def failures(run_dirs: list[Path]) -> list[RunState]:
    """Runs that are neither done nor in another process's hands."""
    states = [read_state(path) for path in run_dirs]
    return [state for state in states if not state.done and state.status != "running"]


def print_failures(failed: list[RunState], console: Console) -> None:
    """Each failed run with its reason and where to read more."""
    for state in failed:
        log = RunPaths(state.run_dir).log
        where = log if log.exists() else state.run_dir
        reason = state.note or "no reason recorded"
        console.print(
            f"{state.status}: {state.name}: {reason} ({where})",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def launchers_of(root: Path) -> dict[Path, LockOwner]:
    """Launches that say they are at work on a sweep, by their file."""
    found = {}
    for path in sorted((root / "launchers").glob("*.json")):
        try:
            found[path] = LockOwner(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
    return found


@contextmanager
def _announced(root: Path) -> Iterator[None]:
    """Leave a note of this launch for `isoflop sweep cancel`, and take it away at the end."""
    me = this_process("launcher")
    # Containers of one host name may have the same pids.
    path = root / "launchers" / f"{me.host}-{me.pid}-{uuid4().hex[:6]}.json"
    write_atomic(path, json.dumps(vars(me)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _held(run_dir: Path) -> bool:
    held = holder(run_dir)
    return held is not None and is_alive(run_dir, held)


def _elsewhere(run_dir: Path) -> bool:
    """Whether a run was last in another process's hands: a lock, and no word of how it ended.

    A pool leaves such a word for workers of its own that die.
    """
    row = last_status(run_dir)
    unsaid = row is None or row["status"] == "running"
    return unsaid and holder(run_dir) is not None and not RunPaths(run_dir).record.exists()


def _unreadable_record(run_dir: Path) -> bool:
    try:
        checked_record(run_dir)
    except IsoflopError:
        return True
    return False
