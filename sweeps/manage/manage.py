"""What is done to a sweep after its launch: retry, cancel, clean, and syncing offline W&B runs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweeps.directory.run_state import Jobs, RunState, is_lost, read_state
from sweeps.launch.launch import launchers_of
from sweeps.launch.scheduler import Task, task_of
from train.config.spec import IsoflopError, SpecError
from train.rundir.lock import holder, is_alive
from train.rundir.record import DONE, STATUSES, RunPaths, read_job
from train.rundir.sweep_layout import SweepPaths, run_dirs

RETRIED = ("failed", "oom", "timeout", "preempted")
"""What `action=retry` takes unless `only` says otherwise."""

CLEANABLE = ("state", "checkpoints", "wandb", "trunks", "slurm", "logs", "tables")


@dataclass
class Done:
    """What an action did, a line each, and what it could not do."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def to_retry(root: Path, only: list[str], jobs: Jobs | None = None) -> list[RunState]:
    """Runs whose status is among `only` (default: whatever went wrong), lost ones included.

    Raises:  SpecError: a name that is no status, or a status that a retry can't change.
    """
    wanted = only or list(RETRIED)
    for status in wanted:
        if status in DONE or status not in STATUSES:
            raise SpecError(
                f"only={status} can't be retried; expected some of "
                f"{', '.join(s for s in STATUSES if s not in (*DONE, 'running'))}"
                + (", since a run that is done gives the same numbers" if status in DONE else "")
            )
    states = [read_state(path, jobs) for path in run_dirs(root)]
    return [state for state in states if state.status in wanted]


def retry_tasks(states: list[RunState], predicted: dict[str, float]) -> list[Task]:
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
    here = socket.gethostname()
    for path, launcher in launchers_of(root).items():
        if launcher.host != here:
            done.problems.append(f"a launch runs on {launcher.host}; run action=cancel there")
        elif is_alive(path.parent, launcher):
            os.kill(launcher.pid, signal.SIGTERM)
            done.lines.append(f"asked launch {launcher.describe()} to save and stop")
        else:
            path.unlink(missing_ok=True)
    for run_dir in run_dirs(root):
        held = holder(run_dir)
        if held is None or held.job is not None or held.host != here:
            continue
        if is_alive(run_dir, held):
            os.kill(held.pid, signal.SIGTERM)
            done.lines.append(f"asked {run_dir.name} ({held.describe()}) to save and stop")
    return done


def clean(root: Path, only: list[str]) -> Done:
    """Delete what `only` names: a kind of file in every run that is done, or single runs by name.

    state, checkpoints (intermediate ones), wandb, trunks (states that branches start from; without
    them they train from the start), slurm (submission files), logs, tables; anything else must be
    the name, directory or run_id of a run, whose directory goes as a whole.
    Raises:  SpecError: nothing named, or a name that fits nothing.
    """
    if not only:
        raise SpecError(
            f"action=clean deletes only what is named; give only= with some of "
            f"{', '.join(CLEANABLE)}, or the name of a run"
        )
    states = [read_state(path) for path in run_dirs(root)]
    chosen: list[Path] = []
    for name in only:
        chosen += _named(root, states, name)
    done = Done()
    for path in chosen:
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            done.lines.append(f"deleted {path}")
        except OSError as error:
            done.problems.append(f"can't delete {path}: {error.strerror or error}")
    return done


def _named(root: Path, states: list[RunState], name: str) -> list[Path]:
    """What a name given to `clean` stands for."""
    paths = SweepPaths(root)
    if name in ("trunks", "slurm", "logs"):
        return [path for path in (root / name,) if path.exists()]
    if name == "tables":
        return [t for n in ("runs", "curves", "evals") if (t := paths.table(n)).exists()]
    if name in CLEANABLE:
        found = [state.run_dir / name for state in states if state.done]
        return [path for path in found if path.exists()]
    runs = [s for s in states if name in (s.name, s.run_id, s.run_dir.name)]
    if not runs:
        raise SpecError(
            f"only={name} names nothing in {root}; expected {', '.join(CLEANABLE)} or a run"
        )
    for state in runs:
        if state.status == "running":
            raise IsoflopError(f"{state.name} is running ({state.holder}); cancel it first")
    return [state.run_dir for state in runs]


def sync(root: Path, upload: Callable[[Path], str | None] | None = None) -> Done:
    """Upload every offline W&B run of a sweep; those that fail are listed and stay as they are."""
    done = Done()
    for run_dir in run_dirs(root):
        for offline in sorted((run_dir / "wandb").glob("offline-run-*")):
            if list(offline.glob("*.wandb.synced")):
                continue
            reason = (upload or _wandb_sync)(offline)
            if reason is None:
                done.lines.append(f"synced {offline}")
            else:
                done.problems.append(f"{offline}: {reason}")
    return done


def _wandb_sync(directory: Path) -> str | None:
    """Run `wandb sync` on one directory; the reason where it failed."""
    answer = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode == 0:
        return None
    lines = (answer.stderr or answer.stdout).strip().splitlines()
    return lines[-1] if lines else f"wandb sync exited with status {answer.returncode}"
