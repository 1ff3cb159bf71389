"""Predicted ends of a sweep's runs in progress, from its files, by laws of its finished runs."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import FitError
from analysis.fits.curve_law.path import LossCurve
from analysis.studies.curves.in_progress import (
    FEWEST,
    MOST,
    EndPredictor,
    FinishedRun,
    PredictedEnd,
)
from sweeps.directory.run_state import RunState, finite_number
from train.config.spec import IsoflopError, known
from train.rundir.atomic import iter_jsonl
from train.rundir.record import RunPaths, read_job
from train.rundir.sweep_layout import SweepPaths

SCHEDULE_POINTS = 200
"""Points at which a run's planned learning rates are taken."""


@dataclass
class SweepEnds:
    """Predicts ends of a sweep's runs; laws are fitted again when other runs are finished.

    Attributes:
        root: The sweep's directory.
    """

    root: Path
    _laws: dict[str, tuple[frozenset[str], EndPredictor | str]] = field(default_factory=dict)

    def of(self, runs: Sequence[RunState]) -> dict[str, PredictedEnd]:
        """run_id -> end of each run in progress; those without one have a reason."""
        running = [run for run in runs if run.status == "running"]
        if not running:
            return {}
        sizes = {
            str(row["run_id"]): size
            for row in iter_jsonl(SweepPaths(self.root).plan)
            if "run_id" in row and (size := finite_number(row.get("n_params")))
        }
        found = {}
        for run in running:
            law = self._law(run.grid, runs, sizes)
            if isinstance(law, str):
                found[run.run_id] = PredictedEnd(reason=law)
            elif run.run_id not in sizes:
                found[run.run_id] = PredictedEnd(reason="it is in no plan")
            else:
                found[run.run_id] = _predicted(law, run, sizes[run.run_id])
        return found

    def _law(
        self, grid: str, runs: Sequence[RunState], sizes: Mapping[str, float]
    ) -> EndPredictor | str:
        """The law of a grid's finished runs, or why there is none."""
        done = [
            run
            for run in runs
            if run.grid == grid and run.status == "finished" and run.run_id in sizes
        ]
        if len(done) < FEWEST:
            return f"{len(done)} runs of grid {grid} are finished; a predicted end needs {FEWEST}"
        done = _evenly(done, sizes)
        names = frozenset(run.run_id for run in done)
        known_for, law = self._laws.get(grid, (frozenset(), ""))
        if known_for != names:
            law = _fitted(done, sizes)
            self._laws[grid] = names, law
        return law


def _fitted(done: Sequence[RunState], sizes: Mapping[str, float]) -> EndPredictor | str:
    finished = [
        FinishedRun(_curve(run, sizes[run.run_id]), run.loss)
        for run in done
        if run.loss is not None and run.loss > 0
    ]
    try:
        return EndPredictor.of(finished)
    except (FitError, ValueError) as error:
        return str(error)


def _predicted(law: EndPredictor, run: RunState, size: float) -> PredictedEnd:
    try:
        spec = read_job(run.run_dir).spec
        n_steps = known(spec.n_steps, "n_steps")
        steps = np.unique(np.linspace(1, n_steps, min(SCHEDULE_POINTS, n_steps)).astype(int))
        rates = np.array([spec.learning_rate(int(step) - 1) for step in steps])
        tokens = steps * float(known(spec.optim.batch_tokens, "optim.batch_tokens"))
        return law.predict(_curve(run, size), tokens, rates)
    except (IsoflopError, ValueError) as error:
        return PredictedEnd(reason=str(error))


def _curve(run: RunState, size: float) -> LossCurve:
    """A run's training losses until now."""
    rows = [
        values
        for row in iter_jsonl(RunPaths(run.run_dir).metrics)
        if None not in (values := [finite_number(row.get(key)) for key in _COLUMNS])
    ]
    columns = np.array(rows, dtype=float).reshape(-1, len(_COLUMNS))
    later = columns[:, 0] > np.append(0.0, np.maximum.accumulate(columns[:, 0])[:-1])
    n_tokens, lr, loss = columns[later].T
    return LossCurve(run.run_id, size, n_tokens, lr, loss)


_COLUMNS = ("n_tokens", "lr", "train_loss")


def _evenly(done: list[RunState], sizes: Mapping[str, float]) -> list[RunState]:
    """At most MOST runs, over sizes and lengths, so that few files are read of a large sweep."""
    order = sorted(done, key=lambda run: (sizes[run.run_id], run.n_tokens, run.run_id))
    rows = np.unique(np.linspace(0, len(order) - 1, min(MOST, len(order))).astype(int))
    return [order[int(i)] for i in rows]


def end_text(end: PredictedEnd | None) -> str:
    """A predicted end as `status` shows it; empty where there is none."""
    if end is None or not end.known:
        return ""
    return f"{end.loss:.4f} ({end.low:.4f} to {end.high:.4f})"


def end_json(end: PredictedEnd) -> dict[str, Any]:
    """A predicted end as plain values, null for what is not known."""
    numbers = {name: getattr(end, name) for name in ("loss", "low", "high")}
    return {k: v if math.isfinite(v) else None for k, v in numbers.items()} | {"reason": end.reason}


class Paced:
    """Calls a function now and then: not before so many seconds, nor so often that it costs more
    than a twentieth of the time.
    """

    def __init__(self, call: Any, least_seconds: float) -> None:
        self._call, self._least, self._next = call, least_seconds, time.monotonic() + least_seconds

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        begun = time.monotonic()
        self._call()
        took = time.monotonic() - begun
        self._next = time.monotonic() + max(self._least, 20 * took)
