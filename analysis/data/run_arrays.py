"""The numbers of runs as arrays: one value per run, and the points of their training curves."""

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.cost_law import Cost


@dataclass(frozen=True)
class RunArrays:
    """N, D, C and L of some runs, (runs,), under one convention, and the cost law C = k N^gamma
    D.
    """

    counting: str
    n_params: np.ndarray
    n_tokens: np.ndarray
    flops: np.ndarray
    loss: np.ndarray
    budget: np.ndarray
    cost: Cost

    def __len__(self) -> int:
        return len(self.loss)

    def take(self, rows: np.ndarray) -> "RunArrays":
        return replace(
            self,
            n_params=self.n_params[rows],
            n_tokens=self.n_tokens[rows],
            flops=self.flops[rows],
            loss=self.loss[rows],
            budget=self.budget[rows],
        )


@dataclass(frozen=True)
class Curves:
    """Points of training curves, sorted by run and, within a run, by FLOPs; all arrays (points,).

    `run` numbers the runs from 0; `n_params`, `n_tokens`, `flops` are those of the run at that
    point; `error` is the standard error of the log of a smoothed loss, None where none is known.
    """

    run: np.ndarray
    n_params: np.ndarray
    n_tokens: np.ndarray
    flops: np.ndarray
    loss: np.ndarray
    error: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.loss)

    def take(self, rows: np.ndarray) -> "Curves":
        return Curves(
            error=None if self.error is None else self.error[rows],
            run=self.run[rows],
            n_params=self.n_params[rows],
            n_tokens=self.n_tokens[rows],
            flops=self.flops[rows],
            loss=self.loss[rows],
        )

    def of_runs(self, rows: np.ndarray) -> "Curves":
        """The curves of some runs, which are numbered from 0 in the order of `rows` (runs,)."""
        place = np.full(int(max(self.run.max(initial=-1), rows.max(initial=-1))) + 1, -1)
        place[rows] = np.arange(len(rows))
        kept = self.take(np.flatnonzero(place[self.run] >= 0))
        kept = replace(kept, run=place[kept.run])
        return kept.take(np.argsort(kept.run, kind="stable"))

    def thinned(self, most: int) -> "Curves":
        """At most about `most` points: every k-th of each run and always its last."""
        step = -(-len(self) // most)
        if step <= 1:
            return self
        last = np.append(self.run[1:] != self.run[:-1], True)
        return self.take(np.flatnonzero((np.arange(len(self)) % step == 0) | last))


@dataclass(frozen=True, eq=False)
class BestOf:
    """Of the best run of each cell, in log loss, (cells,) each; and the noise of a single run.

    Attributes:
        bias: How far the best lies below the mean of the cell's best setting, >= 0.
        sd: Standard deviation of the best between repeats of the whole cell.
        noise: Standard deviation of a single run between seeds.
        freedom: Degrees of freedom that the noise was estimated with, inf where it was given.
    """

    bias: np.ndarray
    sd: np.ndarray
    noise: float
    freedom: float

    def take(self, rows: np.ndarray) -> "BestOf":
        return replace(self, bias=self.bias[rows], sd=self.sd[rows])


@dataclass(frozen=True)
class CurveLosses:
    """Which losses along training the envelope reads.

    Attributes:
        kind: training (smoothed), validation, or table: what a table of curves has.
        reason: Why these.
        level: Factor on smoothed training losses that puts their ends, in the median run, at the
            level of the runs' losses; one for all runs, which changes no order among them.
        error: Median standard error of the log of a smoothed loss; 0 for others.
        window: Half the width in log tokens of what a smoothed loss is of; 0 for others.
    """

    kind: str
    reason: str
    level: float = 1.0
    error: float = 0.0
    window: float = 0.0


@dataclass(frozen=True, eq=False)
class FitInput:
    """What an approach is fitted to: runs, points of their training curves, weights of the runs.

    `budgets_given` says that the budgets were stated, not guessed from FLOPs that lie close;
    `epochs` (runs,) is how often each run saw its tokens, 0 where that is not known; `best_of` is
    what is known of runs that are each the best of a cell; `curve_losses` is what `curves` are of.
    """

    runs: RunArrays
    curves: Curves | None = None
    weights: np.ndarray | None = None
    budgets_given: bool = False
    epochs: np.ndarray | None = None
    best_of: BestOf | None = None
    curve_losses: CurveLosses | None = None

    def __len__(self) -> int:
        return len(self.runs)

    def take(self, rows: np.ndarray) -> "FitInput":
        """The same of some runs alone, by their indices (rows,)."""
        return replace(
            self,
            runs=self.runs.take(rows),
            curves=None if self.curves is None else self.curves.of_runs(rows),
            weights=None if self.weights is None else self.weights[rows],
            epochs=None if self.epochs is None else self.epochs[rows],
            best_of=None if self.best_of is None else self.best_of.take(rows),
        )
