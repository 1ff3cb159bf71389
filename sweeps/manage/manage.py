"""What is done to a sweep after its launch: retry, cancel and clean."""

import os
import shutil
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweeps.directory.run_state import Jobs, RunState, is_lost, read_state
from sweeps.launch.launch import launchers_of
from sweeps.launch.scheduler import QueuedRun, task_of
from train.config.spec import IsoflopError, SpecError
from train.rundir.lock import holder, is_alive, is_visible
from train.rundir.record import DONE, STATUSES, RunPaths, read_job
from train.rundir.sweep_layout import SweepPaths, planned_ids, planned_run_dirs, run_dirs

RETRIED = ("failed", "oom", "timeout", "preempted")
"""What a retry takes unless `status=` says otherwise."""

CLEANABLE = (
    *("state", "checkpoints", "wandb", "tensorboard", "trunks", "slurm", "logs", "tables"),
    "unplanned",
)


@dataclass
class Done:
    """What an action did, a line each, and what it could not do."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def to_retry(root: Path, only: list[str], jobs: Jobs | None = None) -> list[RunState]:
    """Runs whose status is among `only` (default: all that went wrong), lost ones included.

    Raises:  SpecError: a name that is no status, or a status that a retry can't change.
    """
    wanted = only or list(RETRIED)
    for status in wanted:
        if status in DONE or status not in STATUSES:
            raise SpecError(
                f"status={status} can't be retried; expected some of "
                f"{', '.join(s for s in STATUSES if s not in (*DONE, 'running'))}"
                + (", since a run that is done gives the same numbers" if status in DONE else "")
            )
    states = [read_state(path, jobs) for path in planned_run_dirs(root)]
    return [state for state in states if state.status in wanted]


def retry_tasks(states: list[RunState], predicted: dict[str, float]) -> list[QueuedRun]:
    """The runs as tasks, with the seconds that the plan predicted for a run_id where it did.

    Raises:  RecordError: a spec.json that can't be read.
    """
    return [
        replace(
            task_of(state.run_dir, read_job(state.run_dir)),
            seconds=predicted.get(state.run_id, 0.0),
        )
        for state in states
    ]


def clear_the_way(states: list[RunState], jobs: Jobs | None = None) -> None:
    """Remove what keeps runs from being trained again.

    A damaged record.json is set aside; a lock is broken only where its holder is known to be gone.
    """
    for state in states:
        paths = RunPaths(state.run_dir)
        if paths.record.exists():
            paths.record.rename(state.run_dir / "record.json.damaged")
        held = holder(state.run_dir)
        if held is not None and is_lost(state.run_dir, held, jobs):
            paths.lock.unlink(missing_ok=True)


def cancel_local(root: Path) -> Done:
    """Ask every launch on this host, and every run outside one, to save and stop (SIGTERM)."""
    done = Done()
    for path, launcher in launchers_of(root).items():
        if not is_visible(launcher):
            done.problems.append(
                f"a launch runs on {launcher.host}; run isoflop sweep cancel there"
            )
        elif is_alive(path.parent, launcher):
            os.kill(launcher.pid, signal.SIGTERM)
            done.lines.append(f"asked launch {launcher.describe()} to save and stop")
        else:
            path.unlink(missing_ok=True)
    for run_dir in run_dirs(root):
        held = holder(run_dir)
        if held is None or held.job is not None or not is_visible(held):
            continue
        if is_alive(run_dir, held):
            os.kill(held.pid, signal.SIGTERM)
            done.lines.append(f"asked {run_dir.name} ({held.describe()}) to save and stop")
    return done


def clean(root: Path, only: list[str]) -> Done:
    """Delete what `only` names: a kind of file in every run that is done, or single runs by id.

    state, checkpoints (intermediate ones), wandb, tensorboard, trunks (states that branches start
    from; without them they train from the start), slurm (submission files), logs, tables;
    unplanned is every run that is in no plan; anything else must be the run_id, directory or name
    of one run, whose directory goes as a whole.
    Raises:  SpecError: nothing named, or a name that fits nothing or several runs.
    """
    if not only:
        raise SpecError(
            f"sweep clean deletes only what is named; give what= with some of "
            f"{', '.join(CLEANABLE)}, or the run_id of a run"
        )
    states = {path: read_state(path) for path in run_dirs(root)}
    chosen: list[Path] = []
    done = Done()
    for name in only:
        chosen += _named(root, list(states.values()), name, done)
    for path in dict.fromkeys(chosen):
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            done.lines.append(f"deleted {_described(path, states.get(path))}")
        except OSError as error:
            done.problems.append(f"can't delete {path}: {error.strerror or error}")
    return done


def _described(path: Path, run: RunState | None) -> str:
    return str(path) if run is None else f"run {run.run_id} ({run.name}, {run.status}): {path}"


def _named(root: Path, states: list[RunState], name: str, done: Done) -> list[Path]:
    """What a name given to `clean` stands for; `done` gets what of it can't be deleted now."""
    paths = SweepPaths(root)
    if name in ("trunks", "slurm", "logs"):
        return [path for path in (root / name,) if path.exists()]
    if name == "tables":
        return [t for n in ("runs", "curves", "evals") if (t := paths.table(n)).exists()]
    if name == "unplanned":
        planned = planned_ids(root)
        if planned is None:
            raise SpecError(f"{root} has no plan.jsonl that can be read; launch it again first")
        ghosts = [state for state in states if state.run_id not in planned]
        done.problems += [f"kept {_running(run)}" for run in ghosts if run.status == "running"]
        return [state.run_dir for state in ghosts if state.status != "running"]
    if name in CLEANABLE:
        found = [state.run_dir / name for state in states if state.done]
        return [path for path in found if path.exists()]
    run = _one_run(root, states, name)
    if run.status == "running":
        raise IsoflopError(_running(run))
    return [run.run_dir]


def _one_run(root: Path, states: list[RunState], name: str) -> RunState:
    """The run of this run_id, directory or name.

    Raises:  SpecError: there is none, or there are several of that name.
    """
    found = [s for s in states if name in (s.run_id, s.run_dir.name)]
    found = found or [s for s in states if s.name == name]
    if not found:
        raise SpecError(
            f"what={name} names nothing in {root}; expected {', '.join(CLEANABLE)} or a run"
        )
    if len(found) > 1:
        listed = ", ".join(f"{s.run_id} ({s.status}, {s.target_tokens:,} tokens)" for s in found)
        raise SpecError(f"what={name} is the name of {len(found)} runs; give a run_id: {listed}")
    return found[0]


def _running(run: RunState) -> str:
    return f"{run.name} is running ({run.holder}); cancel it first"
