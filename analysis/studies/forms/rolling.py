"""Rolling hold-out: laws fitted to the smaller budgets (or sizes) predict the next, step by step.

Every candidate is fitted once per step to all runs up to a cut and predicts all runs beyond it, so
that one pass tells the errors of the next group and of those farther away.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.data.run_arrays import FitInput, RunArrays
from analysis.errors import FitError
from analysis.studies.forms.candidates import Candidate

BY = ("flops", "n_params")

MOST_GROUPS = 12
"""Budgets or sizes beyond which neighbours are joined, to QUANTILES groups of equally many runs."""

QUANTILES = 8
FIRST = {"flops": 2, "n_params": 3}
"""Groups that the first step is fitted to: exponents of N need three sizes."""

DISTANCES = (1.0, 3.0, 10.0, 30.0, 100.0, np.inf)
"""Edges of the classes of distance, in factors of C (or N) beyond the largest fitted."""


@dataclass(frozen=True, eq=False)
class Rolling:
    """Errors of every candidate at every step.

    Attributes:
        by: What the runs were ordered by, flops or n_params.
        candidates: Their names, in the order of `errors`.
        forms: The form of each, `objectives` the objective of each.
        group: The group of each run, from 0, (runs,).
        cuts: The largest C (or N) fitted at each step, (steps,).
        last: The last group fitted at each step, (steps,).
        distance: Of each run beyond each cut, as a factor; NaN for fitted ones, (steps, runs).
        errors: log predicted over measured loss, (candidates, steps, runs); NaN where fitted, or
            where the candidate could not be.
        reasons: Why a candidate gave nothing, with the number of steps, by its name.
    """

    by: str
    candidates: tuple[str, ...]
    forms: tuple[str, ...]
    objectives: tuple[str, ...]
    group: np.ndarray
    cuts: np.ndarray
    last: np.ndarray
    distance: np.ndarray
    errors: np.ndarray
    reasons: dict[str, str]

    @property
    def next(self) -> np.ndarray:
        """Which runs are of the group next to each cut, (steps, runs) of bool."""
        return self.group[None] == self.last[:, None] + 1

    @cached_property
    def complete(self) -> np.ndarray:
        """Which candidates predicted every run at every step, (candidates,) of bool."""
        held_out = np.isfinite(self.distance)
        return np.array([np.isfinite(own[held_out]).all() for own in self.errors])


def rms(errors: np.ndarray, where: np.ndarray) -> float:
    """Root mean square of some errors; NaN where there are none, or one of them is missing."""
    chosen = errors[where]
    return float(np.sqrt(np.mean(chosen**2))) if len(chosen) else float("nan")


def groups(runs: RunArrays, by: str = "flops") -> np.ndarray:
    """The group of each run, from 0 for the least, (runs,).

    Budgets, or sizes; of more than twelve, or where runs have no budget, eight groups of equally
    many runs.

    Raises:
        FitError: `by` is unknown, or there are fewer than three groups.
    """
    if by not in BY:
        raise FitError(f"forms.by={by} is unknown; expected one of {', '.join(BY)}")
    values = runs.budget if by == "flops" else runs.n_params
    own = getattr(runs, by)
    labels = np.unique(values) if np.isfinite(values).all() else np.arange(MOST_GROUPS + 1)
    if len(labels) <= MOST_GROUPS:
        order = np.unique(values, return_inverse=True)[1]
    else:
        edges = np.quantile(own, np.linspace(0, 1, QUANTILES + 1)[1:-1])
        order = np.unique(np.digitize(own, edges), return_inverse=True)[1]
    if order.max() < FIRST[by]:
        raise FitError(
            f"{int(order.max()) + 1} group(s) of {by}; a rolling hold-out needs {FIRST[by] + 1}"
        )
    return order


def roll(data: FitInput, candidates: Sequence[Candidate], by: str = "flops") -> Rolling:
    """Errors of the candidates at every step.

    Args:
        data: Runs of one kind.
        candidates: What competes.
        by: flops or n_params.

    Raises:
        FitError: Fewer than three groups.
    """
    group, own = groups(data.runs, by), getattr(data.runs, by)
    last = np.arange(FIRST[by] - 1, group.max())
    cuts = np.array([own[group <= k].max() for k in last])
    distance = np.where(group[None] > last[:, None], own[None] / cuts[:, None], np.nan)
    jobs = [(candidate, int(k)) for candidate in candidates for k in last]
    with ThreadPoolExecutor(_n_threads()) as pool:
        found = list(pool.map(lambda job: _step(data, group, *job), jobs))
    reasons: dict[str, list[str]] = {}
    for (candidate, _), one in zip(jobs, found, strict=True):
        if isinstance(one, str):
            reasons.setdefault(candidate.name, []).append(one)
    nothing = np.full(len(data), np.nan)
    rows = [nothing if isinstance(one, str) else one for one in found]
    return Rolling(
        by,
        tuple(c.name for c in candidates),
        tuple(c.form for c in candidates),
        tuple(c.objective for c in candidates),
        group,
        cuts,
        last,
        distance,
        np.array(rows).reshape(len(candidates), len(last), len(data)),
        {n: f"{r[0]} ({len(r)} of {len(last)} steps)" for n, r in reasons.items()},
    )


def _step(data: FitInput, group: np.ndarray, candidate: Candidate, last: int) -> np.ndarray | str:
    """Errors of one candidate beyond one cut, (runs,), or why there are none."""
    fitted, beyond = np.flatnonzero(group <= last), np.flatnonzero(group > last)
    try:
        predict = candidate.fit(data.take(fitted))
        found = predict(data.take(beyond))
    except FitError as error:
        return str(error)
    if not np.all(np.isfinite(found) & (found > 0)):
        return "it predicts a loss that is not positive"
    errors = np.full(len(group), np.nan)
    errors[beyond] = np.log(found / data.runs.loss[beyond])
    return errors


def _n_threads() -> int:
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
