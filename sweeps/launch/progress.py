"""What a person sees of a launch: one live display on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
from sweeps.launch.scheduler import QueuedRun, Report
from sweeps.plan.plan import duration
from train.commands.terminal import visible

REFRESH_SECONDS = 1.0


@contextmanager
def display(console: Console, n_runs: int, n_done: int) -> Iterator[Report]:
    """Yields what is to be told of every run that starts or ends.

    A terminal shows an overall bar and one for every run in progress; elsewhere a line is printed
    for every run that ends.
    """
    started: dict[QueuedRun, float] = {}
    progress = _bars(console) if console.is_terminal else None
    n_ended = n_done

    def report(task: QueuedRun, status: str, message: str) -> None:
        nonlocal n_ended
        if status == "running" and not message and task not in started:
            started[task] = time.monotonic()
            return
        n_ended += 1
        seconds = time.monotonic() - started.pop(task, time.monotonic())
        text = _ending(task, status, message, seconds)
        if progress is None:
            text = f"[{n_ended:{len(str(n_runs))}}/{n_runs}] {text}"
        if progress is None or status != "finished":
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    if progress is None:
        yield report
        return
    stop = threading.Event()

    def refresh() -> None:
        bars: dict[QueuedRun, TaskID] = {}
        total = progress.add_task("runs", total=n_runs, detail="")
        while True:
            running = list(started)
            for task in [task for task in bars if task not in running]:
                progress.remove_task(bars.pop(task))
            for task in running:
                if task not in bars:
                    name = f"  {visible(task.run_dir.name)}"
                    bars[task] = progress.add_task(name, total=1, detail="starting")
                _show(progress, bars[task], read_state(task.run_dir))
            progress.update(total, completed=n_ended)
            if stop.wait(REFRESH_SECONDS):
                return

    thread = threading.Thread(target=refresh, daemon=True)
    with progress:
        thread.start()
        try:
            yield report
        finally:
            stop.set()
            thread.join()


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def _show(progress: Progress, bar: TaskID, state: RunState) -> None:
    if state.target_tokens:
        total, done = state.target_tokens, state.n_tokens
        progress.update(bar, total=total, completed=done, detail=_detail(state))


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
