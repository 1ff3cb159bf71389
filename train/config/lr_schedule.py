"""Learning rate as a pure function of the step."""

import math
from dataclasses import dataclass

from train.config.errors import at_least, one_of, positive, require

SCHEDULES = ("cosine", "linear", "constant", "wsd")


@dataclass(frozen=True)
class ScheduleSpec:
    """Learning rate over the run's own tokens; `final_fraction` of the peak is reached at the end.

    `decay_fraction` is the share of the run that `wsd` spends decaying; other schedules ignore it.
    `horizon_tokens` plans the decay over that many tokens instead of the run's own: the mismatch in
    Kaplan et al. 2020 that Hoffmann et al. 2022 set right.

    Examples:
        >>> from isoflop import ScheduleSpec
        >>> ScheduleSpec("wsd", final_fraction=0.0).decay_fraction
        0.2
    """

    name: str = "cosine"
    warmup_tokens: float | None = None
    horizon_tokens: float | None = None
    final_fraction: float = 0.1
    decay_fraction: float = 0.2

    def __post_init__(self) -> None:
        one_of("schedule.name", self.name, SCHEDULES)
        at_least(0, "schedule.", self, "warmup_tokens")
        positive("schedule.", self, "horizon_tokens")
        for name in ("final_fraction", "decay_fraction"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"schedule.{name}={value} must lie in [0, 1]")


def learning_rate(
    step: int,
    *,
    schedule: str,
    n_steps: int,
    warmup_steps: int,
    lr_peak: float,
    final_fraction: float,
    decay_fraction: float = 0.2,
) -> float:
    """Learning rate of optimiser step `step` (0-based); `final_fraction * lr_peak` at `n_steps`.

    Warm-up is linear and reaches the peak at `warmup_steps`. Then, with x the share done of what
    follows: cosine = f + (1-f)(1+cos(pi x))/2; linear = 1-(1-f)x; constant = 1; wsd = 1 until the
    last `decay_fraction` of the run, then linear to f.
    """
    if step < warmup_steps:
        return lr_peak * (step + 1) / (warmup_steps + 1)
    start = warmup_steps
    if schedule == "wsd":
        start = wsd_decay_start(n_steps, warmup_steps, decay_fraction)
    done = min(1.0, max(0.0, (step - start) / max(1, n_steps - start)))
    drop = 1.0 - final_fraction
    shape = {
        "cosine": final_fraction + drop * (1 + math.cos(math.pi * done)) / 2,
        "linear": 1.0 - drop * done,
        "wsd": 1.0 - drop * done,
        "constant": 1.0,
    }
    return lr_peak * shape[schedule]


def wsd_decay_steps(n_steps: int, decay_fraction: float) -> int:
    """Steps that a warmup-stable-decay run spends decaying: the rounded share, at least one."""
    return max(1, round(n_steps * decay_fraction))


def wsd_decay_start(n_steps: int, warmup_steps: int, decay_fraction: float) -> int:
    """The step from which a warmup-stable-decay run's rate depends on its length."""
    return max(warmup_steps, n_steps - wsd_decay_steps(n_steps, decay_fraction))
