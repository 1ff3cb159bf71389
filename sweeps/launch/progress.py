"""What a person sees of a launch: one live display on a terminal, plain lines elsewhere."""

import threading
import time
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from sweeps.directory.run_state import RunState, read_state
from sweeps.launch.scheduler import QueuedRun
from sweeps.plan.plan import duration
from train.config.terminal import visible

REFRESH_SECONDS = 1.0


class Display(Protocol):
    """Told of every run that starts ("running") or ends, as a context manager around a launch."""

    def __enter__(self) -> "Display": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def report(self, task: QueuedRun, status: str, message: str) -> None: ...


def make_display(console: Console, n_runs: int, n_done: int) -> Display:
    """A live display on a terminal, plain lines elsewhere."""
    return (LiveDisplay if console.is_terminal else PlainDisplay)(console, n_runs, n_done)


class PlainDisplay:
    """One line for every run that ends."""

    def __init__(self, console: Console, n_runs: int, n_done: int) -> None:
        self._console = console
        self._n_runs, self._ended = n_runs, n_done
        self._started: dict[QueuedRun, float] = {}

    def __enter__(self) -> "PlainDisplay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def report(self, task: QueuedRun, status: str, message: str) -> None:
        if status == "running" and not message and task not in self._started:
            self._started[task] = time.monotonic()
            return
        self._ended += 1
        seconds = time.monotonic() - self._started.pop(task, time.monotonic())
        width = len(str(self._n_runs))
        self._console.print(
            f"[{self._ended:{width}}/{self._n_runs}] {_ending(task, status, message, seconds)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class LiveDisplay:
    """An overall bar and one bar for every run in progress, read from the run directories."""

    def __init__(self, console: Console, n_runs: int, n_done: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._all = self._progress.add_task("runs", total=n_runs, completed=n_done, detail="")
        self._running: dict[QueuedRun, tuple[TaskID, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)

    def __enter__(self) -> "LiveDisplay":
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._progress.stop()

    def report(self, task: QueuedRun, status: str, message: str) -> None:
        if status == "running" and not message and task not in self._running:
            bar = self._progress.add_task(
                f"  {visible(task.run_dir.name)}", total=1, detail="starting"
            )
            self._running[task] = (bar, time.monotonic())
            return
        bar, since = self._running.pop(task, (None, time.monotonic()))
        if bar is not None:
            self._progress.remove_task(bar)
        self._progress.advance(self._all)
        if status != "finished":
            text = _ending(task, status, message, time.monotonic() - since)
            self._progress.console.print(text, markup=False, highlight=False)

    def _refresh(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS):
            for task, (bar, _) in list(self._running.items()):
                state = read_state(task.run_dir)
                if state.target_tokens:
                    self._progress.update(
                        bar,
                        total=state.target_tokens,
                        completed=state.n_tokens,
                        detail=_detail(state),
                    )


def _detail(state: RunState) -> str:
    parts = []
    if state.loss is not None:
        parts.append(f"loss {state.loss:.3f}")
    if state.tokens_per_second:
        parts.append(f"{state.tokens_per_second:,.0f} tok/s")
    return "  ".join(parts)


def _ending(task: QueuedRun, status: str, message: str, seconds: float) -> str:
    state = read_state(task.run_dir)
    text = f"{status} {state.name or task.run_dir.name}"
    if status == "running":
        return f"held {state.name}: {message or state.holder}"
    if state.loss is not None:
        text += f": loss {state.loss:.4f}"
    note = message or state.note
    return f"{text} in {duration(seconds)}" + (f" ({note})" if note else "")
