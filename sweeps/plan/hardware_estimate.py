"""What a sweep will take on hardware that is not here: GPU-hours by name, and disk.

Nothing here is measured. A GPU is taken to reach 40 % of its dense bf16 peak with a large model and
half of that at 30M parameters, utilisation = 0.4 N / (N + 30e6): what well-tuned training of
transformers is commonly reported to reach, falling where matrices are too small to fill the GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.plan.cost_model import makespan
from sweeps.plan.expand import PlannedRun
from train.config.flops import count_params
from train.config.gpu_peaks import PEAK_BF16_FLOPS

SHOWN_GPUS = ("RTX 4090", "A100", "H100")
BEST_UTILISATION, HALF_SIZE = 0.4, 30e6

MODEL_BYTES, STATE_BYTES = 4, 24
"""Bytes a parameter: weights in float32; two resume states of weights and both AdamW moments."""


@dataclass(frozen=True)
class GpuTime:
    """Hours of one kind of GPU for a whole sweep, and wall-clock hours with so many at once."""

    gpu: str
    device_hours: float
    wall_hours: float


@dataclass(frozen=True)
class Disk:
    """Bytes of a sweep: every checkpoint, resume states of the runs in flight, the state that each
    run of a trunk leaves for longer ones; and in the cache all tokens of its data, with the text
    that is downloaded for them.
    """

    checkpoints: float
    states: float
    trunks: float = 0.0
    tokens: float = 0.0
    text: float = 0.0

    @property
    def total(self) -> float:
        return self.checkpoints + self.states + self.trunks + self.tokens + self.text


def utilisation(n_params: float) -> float:
    """Assumed share of a GPU's peak that training a model of this size reaches."""
    return BEST_UTILISATION * n_params / (n_params + HALF_SIZE)


def gpu_times(
    runs: Sequence[PlannedRun],
    at_once: int,
    gpus_a_run: int = 1,
    gpus: Sequence[str] = SHOWN_GPUS,
) -> list[GpuTime]:
    """Assumed hours of each kind of GPU, every run on `gpus_a_run` of them, longest first.

    What several GPUs lose by talking to each other is left out.
    Raises:  KeyError: a GPU whose peak is not known (`train.config.gpu_peaks`).
    """
    made = []
    for gpu in gpus:
        peak = PEAK_BF16_FLOPS[gpu]
        hours = [run.flops_to_spend / (peak * utilisation(run.n_params)) / 3600 for run in runs]
        wall = makespan([h / gpus_a_run for h in hours], at_once)
        made.append(GpuTime(gpu, sum(hours), wall))
    return made


def disk_bytes(
    runs: Sequence[PlannedRun], at_once: int, tokens: float = 0.0, text: float = 0.0
) -> Disk:
    """What a sweep writes: states are of the largest runs that can be in flight, and go with them.

    Args:    tokens, text: bytes of its data in the cache.
    """
    sizes = [count_params(run.job.spec.model).n_params_total for run in runs]
    return Disk(
        checkpoints=sum(map(checkpoint_bytes, runs)),
        states=float(STATE_BYTES * sum(sorted(sizes, reverse=True)[:at_once])),
        trunks=float(
            STATE_BYTES / 2 * sum(n for n, run in zip(sizes, runs, strict=True) if run.trunk_id)
        ),
        tokens=tokens,
        text=text,
    )


def checkpoint_bytes(run: PlannedRun) -> float:
    """Bytes of the checkpoints that a run leaves: the last, and those on the way that are kept."""
    n_kept = 1 + sum(share < 1 for share in run.job.runtime.keep_checkpoints)
    return float(MODEL_BYTES * count_params(run.job.spec.model).n_params_total * n_kept)


def cost_lines(
    runs: Sequence[PlannedRun], at_once: int, gpus_a_run: int, disk: Disk | None = None
) -> list[str]:
    """The cost in words: disk always, GPU-hours where the sweep is meant for GPUs (not 0).

    Args:    disk: what the runs and their data take, where the data are known.
    """
    disk = disk or disk_bytes(runs, at_once)
    parts = [
        f"checkpoints {in_bytes(disk.checkpoints)}",
        f"resume states with {at_once} at once {in_bytes(disk.states)}",
        *([f"states for branches {in_bytes(disk.trunks)}"] if disk.trunks else []),
        *([f"tokens {in_bytes(disk.tokens)}"] if disk.tokens else []),
        *([f"text {in_bytes(disk.text)}"] if disk.text else []),
    ]
    lines = [f"disk: {in_bytes(disk.total)} ({', '.join(parts)})"]
    if gpus_a_run:
        times = ", ".join(
            f"{t.gpu} {in_hours(t.device_hours)} ({in_hours(t.wall_hours)} on "
            f"{at_once * gpus_a_run})"
            for t in gpu_times(runs, at_once, gpus_a_run)
        )
        lines.append(
            f"GPU time, assumed from data-sheet peaks, not measured (utilisation "
            f"{BEST_UTILISATION:.0%}, half of it at {HALF_SIZE / 1e6:.0f}M parameters): {times}"
        )
    return lines


def in_bytes(value: float) -> str:
    """Bytes as people say them: 12 kB, 3.4 GB, 1.2 TB."""
    for scale, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.0f} B"


def in_hours(hours: float) -> str:
    """Hours as people say them: 40 min, 5.2 h, 93,600 h."""
    if hours < 1:
        return f"{60 * hours:.2g} min"
    return f"{hours:.3g} h" if hours < 1000 else f"{hours:,.0f} h"
