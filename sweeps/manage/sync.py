"""Uploading to trackers what they lack of a sweep, from the runs' own files, cut short or not."""

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from sweeps.manage.manage import Done
from train.commands.processes import python_command
from train.config.spec import IsoflopError
from train.rundir.lock import holder, is_alive
from train.rundir.record import last_status, read_job, read_record
from train.rundir.sweep_layout import run_dirs
from train.trackers.background import Background
from train.trackers.kinds import KINDS
from train.trackers.mirror import read_mirror
from train.trackers.wandb_run import Wandb
from train.trackers.wandb_service import base_url, service_problem

Upload = Callable[[Path], str | None]
"""Uploads one directory; the reason where it failed."""


MOST_LETTERS = 160
"""Of a tracker's own words in a line of ours."""


def sync(root: Path, upload: Upload | None = None) -> Done:
    """Upload every run that a tracker has not got whole; those that fail are listed and stay so.

    A run of today's releases (wandb.json, mlflow.json, ...) is uploaded from metrics and record,
    into the tracker's run that it had, with the rows that are missing there. Earlier releases left
    W&B's offline-run directories alone, which `wandb sync` uploads.
    Args:    upload: stands in for both ways, in tests.
    """
    done = Done()
    waiting: list[tuple[Path, Upload]] = []
    others: list[tuple[Path, Upload]] = []
    live = 0
    for run_dir in run_dirs(root):
        lacking = [kind for kind in ("wandb", *KINDS) if _lacks(run_dir, kind)]
        held = holder(run_dir) if lacking else None
        if held is not None and is_alive(run_dir, held):
            live += 1
            continue
        if "wandb" in lacking:
            waiting.append((run_dir, upload or _from_files))
        elif read_mirror(run_dir) is None:
            waiting += [(path, upload or _wandb_sync) for path in _offline_runs(run_dir)]
        others += [(run_dir, upload or _to(kind)) for kind in lacking if kind != "wandb"]
    if live:
        done.lines.append(f"{live} runs are in progress; sync again when they have ended")
    if waiting and upload is None and (problem := service_problem()):
        done.problems.append(
            f"W&B at {base_url()} can't be used ({problem}); {len(waiting)} runs wait for it"
        )
        waiting = []
    for path, way in [*waiting, *others]:
        reason = way(path)
        if reason is None:
            done.lines.append(f"synced {path}")
        else:
            done.problems.append(f"{path}: {reason}")
    return done


def lacking_lines(root: Path, run_dirs: Iterable[Path], kinds: Iterable[str]) -> list[str]:
    """What trackers have not got of some runs that ended, a line a tracker, and how they get it."""
    directories, lines = list(run_dirs), []
    for kind in kinds:
        mirrors = [read_mirror(run_dir, kind) for run_dir in directories]
        lacking = [one for one in mirrors if one is not None and one.ended and not one.uploaded]
        if lacking:
            why = next((one.lacking for one in lacking if one.lacking), "")
            why = f" ({_first_line(why)})" if why else ""
            lines.append(
                f"{kind} has not got {len(lacking)} of {len(directories)} runs{why}; files have "
                f"all of them: isoflop sweep sync {root}"
            )
    return lines


def _first_line(text: str) -> str:
    """The first line of an error, cut where it goes on for long."""
    line = text.strip().splitlines()[0]
    return line if len(line) <= MOST_LETTERS else line[: MOST_LETTERS - 1] + "…"


def _offline_runs(run_dir: Path) -> list[Path]:
    found = sorted((run_dir / "wandb").glob("offline-run-*"))
    return [path for path in found if not list(path.glob("*.wandb.synced"))]


def _from_files(run_dir: Path) -> str | None:
    """Bring a run's W&B run up to its files; the reason where W&B did not take all."""
    try:
        job, record = read_job(run_dir), read_record(run_dir)
    except IsoflopError as error:
        return str(error)
    row = last_status(run_dir) or {}
    tracker = Wandb(job, run_dir, mode="online")
    return tracker.finish(record, record.status if record else str(row.get("status"))) or None


def _lacks(run_dir: Path, kind: str) -> bool:
    mirror = read_mirror(run_dir, kind)
    return mirror is not None and not mirror.uploaded


def _to(kind: str) -> Upload:
    """Bring a run's copy in one of `KINDS` up to its files."""

    def upload(run_dir: Path) -> str | None:
        try:
            job, record = read_job(run_dir), read_record(run_dir)
        except IsoflopError as error:
            return str(error)
        status = record.status if record else str((last_status(run_dir) or {}).get("status"))
        tracker = Background(kind, job, run_dir, upload=True)
        tracker.end(record, status)
        return tracker.finish(record, status) or None

    return upload


def _wandb_sync(directory: Path) -> str | None:
    """Run `wandb sync` on one directory; the reason where it failed."""
    answer = subprocess.run(
        python_command("wandb", "sync", str(directory)),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode == 0:
        return None
    lines = (answer.stderr or answer.stdout).strip().splitlines()
    return lines[-1] if lines else f"wandb sync exited with status {answer.returncode}"
