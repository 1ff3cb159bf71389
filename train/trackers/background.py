"""A tracker on a thread of its own: what is slow or fails there costs the training loop nothing."""

import logging
import time
import uuid
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, NamedTuple

from train.config.run_config import RunConfig
from train.rundir.atomic import RecordError, read_jsonl
from train.rundir.record import RunPaths, RunRecord
from train.trackers.kinds import KINDS, summary
from train.trackers.mirror import Mirror, continued, write_mirror
from train.trackers.names import named

FINISH_SECONDS = 20.0
"""How long a tracker may take for the rest when a run ends.

Less than the 30 s that Slurm leaves by default between asking a job to stop and killing it.
"""

LOCAL_SECONDS = 120.0
"""The same for a store on this machine at the end of a finished run.

Nothing is waited for but this machine's own work: MLflow takes six seconds of a core to make a
database, and a minute and more where many share it.
"""

_too_slow: set[str] = set()
"""Trackers that a run of this process gave up waiting for: its later runs don't wait again."""

log = logging.getLogger(__name__)


class _End(NamedTuple):
    record: RunRecord | None
    status: str


class Background:
    """One of `KINDS`, brought up to metrics.jsonl; failures are logged, not raised.

    Args:    upload: whether a server may be asked although `tracker.mode` is offline; for `sync`.
    """

    def __init__(self, kind: str, job: RunConfig, run_dir: Path, upload: bool = False) -> None:
        self._kind, self._job, self._run_dir = kind, job, run_dir
        self._rows: SimpleQueue[dict[str, Any] | _End] = SimpleQueue()
        self._abandoned = Event()
        self._lacking, self._done, self._deadline = "", False, 0.0
        former = continued(run_dir, kind) or ""
        self._id = former
        self._keep(Mirror(former))
        self._thread: Thread | None = None
        address = KINDS[kind].address()
        if job.tracker.mode == "offline" and address and not upload:
            self._lacking = f"tracker.mode=offline, and {kind} is at {address}"
        elif kind in _too_slow:
            self._lacking = "it was too slow for an earlier run of this launch"
        else:
            for row in read_jsonl(RunPaths(run_dir).metrics):
                self._rows.put(row)
            self._thread = Thread(target=self._work, args=(former,), daemon=True, name=kind)
            self._thread.start()

    def write(self, row: dict[str, Any]) -> None:
        """Hand a row of metrics.jsonl over; the thread passes over one that the tracker has."""
        if self._thread is not None:
            self._rows.put(dict(row))

    def end(self, record: RunRecord | None, status: str) -> None:
        """Let the thread end the tracker's run after the rows so far; call `finish` after it."""
        local = status == "finished" and not KINDS[self._kind].address()
        self._deadline = time.monotonic() + (LOCAL_SECONDS if local else FINISH_SECONDS)
        self._rows.put(_End(record, status))

    def finish(self, record: RunRecord | None, status: str) -> str:
        """Wait for what `end` asked for.

        Returns: why the tracker has not got the whole run; an empty string where it has.
        """
        if self._thread is not None:
            self._thread.join(max(0.0, self._deadline - time.monotonic()))
            if self._thread.is_alive():
                self._abandoned.set()
                _too_slow.add(self._kind)
                self._lacking = self._lacking or "it did not answer in time"
            elif not self._done:
                self._lacking = self._lacking or "its thread ended early"
            if self._lacking:
                log.warning(
                    "%s has not taken all of this run (%s); files have it, and "
                    "`isoflop sweep sync DIR` uploads the rest",
                    self._kind,
                    self._lacking,
                )
        self._keep(Mirror(self._id, record is not None, not self._lacking, self._lacking))
        return self._lacking

    def _keep(self, mirror: Mirror) -> None:
        try:
            write_mirror(self._run_dir, self._kind, mirror)
        except RecordError as error:
            log.warning("%s", error)

    def _work(self, former: str) -> None:
        kind = KINDS[self._kind]
        try:
            _accelerate_state()
            if (making := kind.begin()) is not None:
                making.wait()
            opened = kind.open(self._job, self._run_dir, former, uuid.uuid4().hex[:12])
            self._id = opened.id
            self._keep(Mirror(opened.id))
            last = opened.last_step
            while isinstance(item := self._rows.get(), dict):
                step = item.get("step")
                if self._abandoned.is_set():
                    return
                if isinstance(step, int) and step > last:
                    opened.tracker.log(named(item), step=step)
                    last = step
            if item.record is not None:
                opened.tracker.log(summary(item.record), step=last)
            kind.close(opened.tracker, item.status)
            self._done = True
        except Exception as error:  # any failure of a mirror is survivable: files are the record
            self._lacking = f"{type(error).__name__}: {error}"


def _accelerate_state() -> None:
    """Accelerate's trackers ask it for the main process; in a training it knows that already."""
    from accelerate import PartialState

    PartialState()
