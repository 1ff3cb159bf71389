"""One launch over many jobs: what its jobs know of one another, in files beside their lists.

Jobs of one launch end on many nodes at any time. They share how their runs ended, so that a bug
common to all stops the rest, and the one that ends last runs `launcher.on_end`.
"""

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from sweeps.directory.run_state import read_state
from sweeps.launch.failures import SharedStreak
from sweeps.launch.on_end import run_on_end
from sweeps.spec.launcher import LauncherSpec
from train.config.spec import IsoflopError
from train.rundir.atomic import read_json, write_json
from train.rundir.record import last_status

OVER = ("failed", "oom", "timeout")
"""Statuses without a record after which no job of this launch trains the run again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Launch:
    """The files of one launch; `ticket` names it, "" one that was submitted by an older release."""

    folder: Path
    ticket: str

    @property
    def listing(self) -> Path:
        return self.folder / f"launch-{self.ticket}.json"

    @property
    def ends(self) -> Path:
        return self.folder / f"launch-{self.ticket}.ends.jsonl"

    @property
    def ended(self) -> Path:
        return self.folder / f"launch-{self.ticket}.ended"

    def write(self, name: str, run_dirs: list[str]) -> None:
        """Note the runs of the launch, ahead of its submission and again where it falls short."""
        write_json(self.listing, {"name": name, "runs": run_dirs})

    def streak(self, launcher: LauncherSpec) -> SharedStreak:
        return SharedStreak(launcher.max_failures if self.ticket else 0, self.ends)

    def finish(self, launcher: LauncherSpec, root: Path) -> None:
        """Run `launcher.on_end` where every run of the launch is over, once."""
        if not launcher.on_end or not self.ticket or self.ended.exists():
            return
        try:
            content = read_json(self.listing)
            name, run_dirs = str(content["name"]), [Path(path) for path in content["runs"]]
        except (IsoflopError, KeyError, TypeError) as error:
            log.error("%s", error)
            return
        if not all(map(_is_over, run_dirs)):
            return
        with contextlib.suppress(FileExistsError):
            # Of two jobs that end at the same moment one creates the file.
            os.close(os.open(self.ended, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            why = self.streak(launcher).reason()
            problem = run_on_end(launcher.on_end, name, root, run_dirs, why)
            if problem:
                log.error("%s", problem)


def _is_over(run_dir: Path) -> bool:
    state = read_state(run_dir)
    given_up = state.status == "planned" and bool((last_status(run_dir) or {}).get("message"))
    return state.done or state.status in OVER or given_up
