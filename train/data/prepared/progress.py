"""How far preparing data is, with the time left: a bar on a terminal, else a line now and then."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

SILENT_SECONDS = 2.0
"""What is over sooner shows nothing."""

LINE_SECONDS = 15.0


class PreparationProgress:
    """A display of bytes read of a total; nothing is shown of what is quickly done."""

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        self.label, self.total, self._first = label, max(1, total), done
        self._console = Console(stderr=True, markup=False, emoji=False)
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "PreparationProgress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int) -> None:
        now = time.monotonic()
        if now - self._started < SILENT_SECONDS:
            return
        if not sys.stderr.isatty():
            if now - self._last_line >= LINE_SECONDS:
                self._last_line = now
                self._console.print(self.line(done, now - self._started), highlight=False)
            return
        if self._bar is None:
            self._bar = _bar(self._console)
            self._bar.add_task(self.label, total=self.total, completed=self._first)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done)

    def line(self, done: int, seconds: float) -> str:
        """What a line says after so many seconds: `text: 12 %, 1.9 MB/s, 3 min left`."""
        speed = max(1.0, (done - self._first) / max(seconds, 1e-9))
        left = max(0, self.total - done) / speed
        minutes = f"{left / 60:.0f} min" if left >= 60 else f"{left:.0f} s"
        hours = f"{left / 3600:.1f} h" if left >= 7200 else minutes
        share = min(1.0, done / self.total)
        return f"{self.label}: {share:.0%} of the text, {speed / 1e6:.1f} MB/s, {hours} left"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
