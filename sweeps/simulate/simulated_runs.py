"""What a run would have written had its loss followed a known surface: its record and its curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.studies.known_surfaces import Truth
from sweeps.plan.expand import PlannedRun
from train.config.spec import known
from train.rundir.record import RunRecord
from train.rundir.record_fields import job_columns

UNANNEALED = 0.01
"""Relative excess of a curve's loss over what a run that ends there would reach, where nothing of
the schedule is done; it falls linearly to none at the end. The demo's 26 runs had 0.3 % at a
quarter, 1.4 % at half and 0.0 % at three quarters, each known to about 1 %."""


@dataclass(frozen=True)
class Simulation:
    """A named truth, the noise of log L between seeds, and how badly small models are tuned.

    `undertuning` is the relative excess of the loss at the smaller of `sizes`, linear in log N
    down to none at the larger.
    """

    surface: str
    truth: Truth
    noise: float
    undertuning: float = 0.0
    sizes: tuple[float, float] = (1.0, 1.0)

    @property
    def label(self) -> str:
        """The mark that every record carries: what the losses are of."""
        tuned = f", undertuning {self.undertuning:g}" if self.undertuning else ""
        return f"{self.surface}, noise {self.noise:g}{tuned}"

    def loss(self, n_params: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
        """The expected loss, which undertuning is part of and noise is not."""
        low, high = np.log(self.sizes)
        share = np.clip((high - np.log(n_params)) / max(high - low, 1e-12), 0.0, 1.0)
        return np.asarray(self.truth.loss(n_params, n_tokens)) * (1 + self.undertuning * share)


def deviations(run_ids: Sequence[str], noise: float) -> np.ndarray:
    """Seed noise of log L, (runs,): a function of each run's identity alone.

    So a run has the same loss whichever cells it is simulated with, and another seed another.
    """
    drawn = [np.random.default_rng(int(run_id, 16)).standard_normal() for run_id in run_ids]
    return noise * np.array(drawn)


def losses(simulation: Simulation, runs: Sequence[PlannedRun]) -> np.ndarray:
    """The final loss of every run, (runs,)."""
    n_params, n_tokens = (
        np.array([getattr(run, name) for run in runs], dtype=float)
        for name in ("n_params", "n_tokens")
    )
    noise = deviations([run.run_id for run in runs], simulation.noise)
    return simulation.loss(n_params, n_tokens) * np.exp(noise)


def curve(simulation: Simulation, run: PlannedRun, loss: float) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl at the run's own evaluations; the last one is its final loss.

    On the way a loss lies above the surface at the tokens so far by the run's own deviation and by
    what the schedule has yet to gain (UNANNEALED).
    """
    n_steps = known(run.job.spec.n_steps, "n_steps")
    batch_tokens = run.n_tokens // n_steps
    n_evals = min(run.job.runtime.n_evals, n_steps)
    steps = np.unique(np.round(np.linspace(0, n_steps, n_evals + 1)[1:]).astype(int))
    n_tokens, n_params = steps * float(batch_tokens), np.array(float(run.n_params))
    ends = simulation.loss(n_params, n_tokens)
    values = ends * (loss / ends[-1]) * (1 + UNANNEALED * (1 - steps / n_steps))
    flops_a_token = run.flops / run.n_tokens
    return [
        {
            "step": int(step),
            "n_tokens": int(step) * batch_tokens,
            "flops": float(step * batch_tokens * flops_a_token),
            "train_loss": float(value),
            "loss": float(value),
        }
        for step, value in zip(steps, values, strict=True)
    ]


def record_of(run: PlannedRun, loss: float, simulated: str) -> RunRecord:
    """The record of a finished run with this loss, marked as simulated; it took no time."""
    return RunRecord(
        **job_columns(run.job, known(run.job.spec.n_steps, "n_steps")),
        status="finished",
        flops_spent=0.0,
        loss=loss,
        bits_per_byte=None,
        train_loss=loss,
        device="none",
        simulated=simulated,
    )
