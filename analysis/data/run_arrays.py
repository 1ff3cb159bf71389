"""The numbers of runs as arrays: one value per run, and the points of their training curves."""

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.cost_law import Cost


@dataclass(frozen=True)
class Counted:
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

    def take(self, rows: np.ndarray) -> "Counted":
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
    point.
    """

    run: np.ndarray
    n_params: np.ndarray
    n_tokens: np.ndarray
    flops: np.ndarray
    loss: np.ndarray

    def __len__(self) -> int:
        return len(self.loss)

    def take(self, rows: np.ndarray) -> "Curves":
        return Curves(
            run=self.run[rows],
            n_params=self.n_params[rows],
            n_tokens=self.n_tokens[rows],
            flops=self.flops[rows],
            loss=self.loss[rows],
        )

    def thinned(self, most: int) -> "Curves":
        """At most about `most` points: every k-th of each run and always its last."""
        step = -(-len(self) // most)
        if step <= 1:
            return self
        last = np.append(self.run[1:] != self.run[:-1], True)
        return self.take(np.flatnonzero((np.arange(len(self)) % step == 0) | last))
