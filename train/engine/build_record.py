"""The record of a run from its spec and outcome."""

import math

import torch

from train.config.resolve import epochs_by_part
from train.config.run_config import RunConfig
from train.config.wsd_branching import flops_of_steps
from train.data.dataset import Dataset
from train.engine.device import device_name, device_versions, peak_flops, peak_memory_bytes
from train.engine.loop import Outcome
from train.rundir.record import RunRecord
from train.rundir.record_fields import job_columns


def record_of(
    job: RunConfig, outcome: Outcome, dataset: Dataset, device: torch.device, n_devices: int
) -> RunRecord:
    """What record.json holds; a diverged run is counted up to the step where it stopped.

    Args:    n_devices: how many of this device, a rank each, trained the run together.
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
