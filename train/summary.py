"""The record of a run from its spec and outcome: every count under every convention."""

import math

import torch

from train.data import Dataset
from train.device import device_name, peak_flops, peak_memory_bytes
from train.flops import (
    count_params,
    flops_per_token,
    flops_per_token_6nd,
    flops_per_token_chinchilla,
)
from train.job import RunJob
from train.loop import Outcome
from train.record import RunRecord
from train.resolve import epochs_by_part
from train.spec import known
from train.trunk import flops_of_steps, trunk_id


def record_of(job: RunJob, outcome: Outcome, dataset: Dataset, device: torch.device) -> RunRecord:
    """What record.json holds; a diverged run is counted up to the step where it stopped."""
    spec, model = job.spec, job.spec.model
    counts = count_params(model)
    batch_tokens = known(spec.optim.batch_tokens, "optim.batch_tokens")
    n_tokens = outcome.step * batch_tokens
    flops = float(n_tokens * flops_per_token(model))
    spent_tokens = outcome.spent_steps * batch_tokens
    flops_spent = flops_of_steps(spec, outcome.spent_steps)
    speed = flops_spent / outcome.seconds if outcome.seconds > 0 else 0.0
    peak = peak_flops(device, spec)
    return RunRecord(
        run_id=job.run_id,
        name=job.name,
        sweep=job.sweep,
        grid=job.grid,
        status=outcome.status,
        data="+".join(sorted(spec.data.parts)),
        data_fingerprint=known(spec.data.fingerprint, "data.fingerprint"),
        seed=spec.seed,
        family=model.family,
        d_model=model.d_model,
        n_layers=known(model.n_layers, "model.n_layers"),
        n_heads=known(model.n_heads, "model.n_heads"),
        d_ff=known(model.d_ff, "model.d_ff"),
        vocab_size=known(model.vocab_size, "model.vocab_size"),
        seq_len=model.seq_len,
        n_params=counts.n_params,
        n_params_total=counts.n_params_total,
        n_params_non_embedding=counts.n_params_non_embedding,
        n_tokens=n_tokens,
        tokens_per_param=n_tokens / counts.n_params,
        n_steps=outcome.step,
        batch_tokens=batch_tokens,
        lr_peak=known(spec.optim.lr_peak, "optim.lr_peak"),
        flops=flops,
        flops_6nd=float(n_tokens * flops_per_token_6nd(model)),
        flops_chinchilla=n_tokens * flops_per_token_chinchilla(model),
        flops_budget=job.flops_budget,
        flops_spent=flops_spent,
        loss=outcome.loss,
        bits_per_byte=_bits_per_byte(outcome, dataset),
        train_loss=outcome.train_loss,
        entropy=dataset.entropy,
        losses=outcome.losses,
        epochs=epochs_by_part(spec, dataset.facts, n_tokens),
        recipe=spec.optim.rule,
        schedule=spec.schedule.name,
        warmup_tokens=spec.schedule.warmup_tokens,
        horizon_tokens=spec.schedule.horizon_tokens,
        precision=spec.precision,
        device=device_name(device),
        wall_seconds=outcome.seconds,
        tokens_per_second=spent_tokens / outcome.seconds if outcome.seconds > 0 else 0.0,
        flops_per_second=speed,
        mfu=None if peak is None else speed / peak,
        peak_memory_bytes=peak_memory_bytes(device),
        message=outcome.message,
        trunk_id=trunk_id(spec),
        branched_from=outcome.branched_from,
    )


def _bits_per_byte(outcome: Outcome, dataset: Dataset) -> float | None:
    """Validation loss in bits per byte of text, parts weighted as trained.

    None without a validation loss, or where a part's prompts carry none of it.
    """
    parts = dataset.spec.data.parts
    if not outcome.losses or any(shard.row_length for shard in dataset.shards.values()):
        return None
    total = sum(part.weight for part in parts.values())
    return sum(
        part.weight / total * outcome.losses[name] / dataset.shards[name].bytes_per_token("val")
        for name, part in parts.items()
    ) / math.log(2)
