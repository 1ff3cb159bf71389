"""The record of a run from its spec and outcome, and what it was computed on."""

import math
import platform
import subprocess
from functools import lru_cache
from typing import Any

import torch
from accelerate import Accelerator

from train.commands.processes import ROOT
from train.config.resolve import epochs_by_part
from train.config.run_config import RunConfig
from train.config.wsd_branching import flops_of_steps
from train.data.dataset import Dataset
from train.engine.device import device_name, device_versions, peak_flops, peak_memory_bytes
from train.engine.loop import Outcome
from train.model.flash import flash_in_use
from train.rundir.record import RunRecord
from train.rundir.record_fields import job_columns


def record_of(
    job: RunConfig,
    outcome: Outcome,
    dataset: Dataset,
    device: torch.device,
    n_devices: int,
    kernels: str = "",
) -> RunRecord:
    """What record.json holds; a diverged run is counted up to the step where it stopped.

    Args:    n_devices: how many of this device, a rank each, trained the run together; kernels: how
             it was computed, in words.
    """
    spec = job.spec
    columns = job_columns(job, outcome.step)
    spent_tokens = outcome.spent_steps * columns["batch_tokens"]
    flops_spent = flops_of_steps(spec, outcome.spent_steps)
    speed = flops_spent / outcome.seconds if outcome.seconds > 0 else 0.0
    peak = peak_flops(device, spec)
    return RunRecord(
        **columns,
        status=outcome.status,
        flops_spent=flops_spent,
        loss=outcome.loss,
        bits_per_byte=_bits_per_byte(outcome, dataset),
        train_loss=outcome.train_loss,
        entropy=dataset.entropy,
        losses=outcome.losses,
        epochs=epochs_by_part(spec, dataset.facts, columns["n_tokens"]),
        device=device_name(device),
        n_devices=n_devices,
        **device_versions(device),
        wall_seconds=outcome.seconds,
        compile_seconds=outcome.compile_seconds,
        tokens_per_second=spent_tokens / outcome.seconds if outcome.seconds > 0 else 0.0,
        flops_per_second=speed,
        mfu=None if peak is None else speed / (n_devices * peak),
        peak_memory_bytes=peak_memory_bytes(device),
        message=outcome.message,
        branched_from=outcome.branched_from,
        loss_ema=outcome.loss_ema,
        loss_spikes=outcome.loss_spikes,
        kernels=kernels,
    )


def _bits_per_byte(outcome: Outcome, dataset: Dataset) -> float | None:
    """Validation loss in bits per byte of text, parts weighted as trained.

    None without a validation loss, where a part's prompts carry none of it, or where token ids
    stand for text that is not known.
    """
    parts = dataset.spec.data.parts
    if not outcome.losses or any(shard.row_length for shard in dataset.shards.values()):
        return None
    total = sum(part.weight for part in parts.values())
    lengths = {name: shard.bytes_per_token("val") for name, shard in dataset.shards.items()}
    known = {name: length for name, length in lengths.items() if length is not None}
    if len(known) < len(parts):
        return None
    return sum(
        part.weight / total * outcome.losses[name] / known[name] for name, part in parts.items()
    ) / math.log(2)


def environment(accelerator: Accelerator) -> dict[str, Any]:
    """What a repetition needs to know beside the spec: versions, commit, device, threads."""
    import accelerate
    import numpy
    import transformers

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "numpy": numpy.__version__,
        "commit": _commit(),
        "device": device_name(accelerator.device),
        **device_versions(accelerator.device),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": torch.backends.cuda.matmul.fp32_precision == "tf32",
        "flash": flash_in_use(),
        "processes": accelerator.num_processes,
    }


@lru_cache(maxsize=1)
def _commit() -> str | None:
    """The code's commit; asked once a process, which goes on with the code that it started with.

    None for an installed package, whose folder may lie in the repository of another project.
    """
    if not (ROOT / ".git").exists():
        return None
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None
