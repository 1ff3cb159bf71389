"""Learning rate as a pure function of the step."""

import math


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
