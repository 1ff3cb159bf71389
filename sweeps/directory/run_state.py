"""The state of a run, from its directory: what is recorded, who holds it, how far it is."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from train.rundir.atomic import BAD_JSON
from train.rundir.lock import LockOwner, holder, is_alive, is_fresh, owner_of
from train.rundir.record import DONE, RunPaths, last_status

LARGEST = 1e300
"""No count or loss comes near; products and quotients of smaller numbers are still floats."""


class Jobs(Protocol):
    """What a batch system knows of a sweep's jobs."""

    def alive(self, job: str, user: str = "", cluster: str = "") -> bool | None:
        """Whether a job is pending or running; None where that can't be told."""
        ...

    def of_run(self, run_dir: Path) -> str | None:
        """The newest job that a run was submitted with, or None."""
        ...

    def ending(self, job: str) -> str:
        """The status that a job's own end gives to a run in progress."""
        ...

    def describe(self, job: str) -> str:
        """The job and its state, in words."""
        ...


@dataclass(frozen=True)
class RunState:
    """One run as `status` shows it; `note` says why it is not finished, `silent_seconds` since when
    nothing was written by a run in progress. `tokens_per_second` and `loss` are the newest known.
    """

    run_dir: Path
    run_id: str
    name: str
    grid: str
    status: str
    note: str = ""
    n_tokens: int = 0
    target_tokens: int = 0
    loss: float | None = None
    tokens_per_second: float | None = None
    wall_seconds: float | None = None
    silent_seconds: float | None = None
    holder: str = ""
    loss_spikes: int = 0

    @property
    def done(self) -> bool:
        return self.status in DONE

    @property
    def fraction(self) -> float:
        if self.status == "finished":
            return 1.0
        return min(1.0, self.n_tokens / self.target_tokens) if self.target_tokens else 0.0


def read_state(run_dir: Path, jobs: Jobs | None = None) -> RunState:
    """The state of one run; every damaged file shows as a note, never as an exception."""
    paths = RunPaths(run_dir)
    record = _json(paths.record)
    if isinstance(record, dict) and record.get("status") in DONE and "run_id" in record:
        return _from_record(run_dir, record)
    spec = _json(paths.spec)
    if not isinstance(spec, dict) or not isinstance(spec.get("spec"), dict):
        why = "damaged" if paths.spec.exists() else "missing"
        note = f"spec.json is {why}; launch the sweep again to restore it"
        return RunState(run_dir, run_dir.name[-12:], run_dir.name, "", "failed", note)
    status, note, held = _status(run_dir, jobs)
    if paths.record.exists() and status != "running":
        status, note = "failed", "record.json is damaged; retry trains on from the saved state"
    newest = _newest_metrics(paths.metrics) if status != "planned" else {}
    if status == "running":
        newest = {**(last_status(run_dir) or {}), **newest}
    return RunState(
        run_dir=run_dir,
        run_id=str(spec.get("run_id")),
        name=str(spec.get("name")),
        grid=str(spec.get("grid")),
        status=status,
        note=note,
        n_tokens=_whole(newest.get("n_tokens")),
        target_tokens=_target_tokens(spec["spec"]),
        loss=finite_number(newest.get("loss")),
        tokens_per_second=finite_number(newest.get("tokens_per_second")),
        silent_seconds=silence(run_dir) if status == "running" else None,
        holder=held.describe() if held and status == "running" else "",
        loss_spikes=_whole(newest.get("train/loss_spikes")),
    )


def is_lost(run_dir: Path, held: LockOwner, jobs: Jobs | None = None) -> bool:
    """Whether a lock's holder is known to be gone: its process, its heartbeat, or its Slurm job.

    A holder whose heart beat a moment ago is there, even where no queue lists its job.
    """
    if not is_alive(run_dir, held):
        return True
    if held.job is None or jobs is None or is_fresh(run_dir):
        return False
    user = held.user or owner_of(RunPaths(run_dir).lock)
    return jobs.alive(held.job, user, held.cluster) is False


def silence(run_dir: Path) -> float:
    """Seconds since a run in progress last wrote a metric or a status line."""
    return max(0.0, time.time() - max(written(run_dir)))


def written(run_dir: Path) -> tuple[float, ...]:
    """When a run's metrics and status trail were last written; a missing file was at 0."""
    paths = RunPaths(run_dir)
    return tuple(_modified(path) for path in (paths.metrics, paths.status))


def tail(path: Path, n_bytes: int = 8192) -> bytes:
    """The last bytes of a file; none where it can't be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - n_bytes))
            return file.read()
    except OSError:
        return b""


def last_line(path: Path) -> str:
    """The last line of a text file that is not blank, or an empty string."""
    lines = [line for line in tail(path).decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _status(run_dir: Path, jobs: Jobs | None) -> tuple[str, str, LockOwner | None]:
    """(status, note, holder) of a run without a record."""
    held = holder(run_dir)
    if held is not None and not is_lost(run_dir, held, jobs):
        return "running", "", held
    row = last_status(run_dir) or {"status": "planned"}
    status = row["status"]
    begun = status == "running" or held is not None
    job = jobs.of_run(run_dir) if jobs is not None else None
    alive = jobs.alive(job) if jobs is not None and job is not None else None
    if jobs is not None and job is not None and alive:
        return ("preempted" if begun else status), jobs.describe(job), held
    if status == "running" or (held is not None and status == "planned"):
        who = held.describe() if held else f"pid {row.get('pid')} on {row.get('host')}"
        note = f"{who} exited without reporting an error; retry continues it"
        if jobs is None or job is None:
            return "failed", note, held
        ending = jobs.ending(job) if alive is False else "failed"
        return ending, f"{jobs.describe(job)}; {note}", held
    if jobs is not None and job is not None and status == "planned":
        if alive is None:
            return status, jobs.describe(job), held
        if row.get("message"):
            return status, _reason(run_dir, row), held  # the job said why it did not begin it
        return jobs.ending(job), f"{jobs.describe(job)}, ended before the run began", held
    if status in DONE:
        return "failed", f"was {status}, but record.json is gone; launch again to redo it", held
    return status, _reason(run_dir, row), held


def _reason(run_dir: Path, row: dict[str, Any]) -> str:
    message = row.get("message") or row.get("reason") or row.get("note")
    if message:
        return str(message).strip().splitlines()[0]
    return "" if row["status"] == "planned" else last_line(RunPaths(run_dir).error)


def _from_record(run_dir: Path, record: dict[str, Any]) -> RunState:
    n_tokens, asked = _whole(record.get("n_tokens")), 0
    if record["status"] != "finished":  # it ended before its time
        spec = _json(RunPaths(run_dir).spec)
        known = isinstance(spec, dict) and isinstance(spec.get("spec"), dict)
        asked = _target_tokens(spec["spec"]) if known else 0
    return RunState(
        run_dir=run_dir,
        run_id=str(record["run_id"]),
        name=str(record.get("name")),
        grid=str(record.get("grid")),
        status=str(record["status"]),
        note=str(record.get("message") or ""),
        n_tokens=n_tokens,
        target_tokens=max(n_tokens, asked),
        loss=finite_number(record.get("loss")),
        tokens_per_second=finite_number(record.get("tokens_per_second")),
        wall_seconds=finite_number(record.get("wall_seconds")),
        loss_spikes=_whole(record.get("loss_spikes")),
    )


def _target_tokens(spec: dict[str, Any]) -> int:
    optim = spec.get("optim")
    batch = optim.get("batch_tokens") if isinstance(optim, dict) else None
    return _whole(spec.get("n_steps")) * _whole(batch)


def finite_number(value: Any) -> float | None:
    """A finite number from a file that may hold anything, or None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    # Compared, not converted: an integer may be beyond any float.
    return value if -LARGEST < value < LARGEST else None


def _whole(value: Any) -> int:
    return int(finite_number(value) or 0)


def _newest_metrics(path: Path) -> dict[str, Any]:
    """The newest value of every metric in the last lines of metrics.jsonl."""
    newest: dict[str, Any] = {}
    for line in tail(path).splitlines():
        try:
            row = json.loads(line)
        except BAD_JSON:
            continue
        if isinstance(row, dict):
            newest.update({key: value for key, value in row.items() if value is not None})
    return newest


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, *BAD_JSON):
        return None


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
