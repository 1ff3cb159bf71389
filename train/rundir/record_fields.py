"""The columns of a run's record that follow from its job and the tokens that it saw."""

from typing import Any

from train.config.flops import (
    count_params,
    flops_per_token,
    flops_per_token_6nd,
    flops_per_token_chinchilla,
)
from train.config.run_config import RunConfig
from train.config.spec import known
from train.config.wsd_branching import trunk_id


def job_columns(job: RunConfig, n_steps: int) -> dict[str, Any]:
    """Identity, shape, settings, and every count under every convention, by `RunRecord`'s names.

    Args:    n_steps: optimiser steps done, fewer than the spec's where a run diverged.
    Raises:  SpecError: the spec is not resolved.
    """
    spec, model = job.spec, job.spec.model
    counts = count_params(model)
    batch_tokens = known(spec.optim.batch_tokens, "optim.batch_tokens")
    n_tokens = n_steps * batch_tokens
    return {
        "run_id": job.run_id,
        "name": job.name,
        "sweep": job.sweep,
        "grid": job.grid,
        "data": "+".join(sorted(spec.data.parts)),
        "data_fingerprint": known(spec.data.fingerprint, "data.fingerprint"),
        "seed": spec.seed,
        "family": model.family,
        "d_model": model.d_model,
        "n_layers": known(model.n_layers, "model.n_layers"),
        "n_heads": known(model.n_heads, "model.n_heads"),
        "n_kv_heads": model.n_kv_heads,
        "d_ff": known(model.d_ff, "model.d_ff"),
        "vocab_size": known(model.vocab_size, "model.vocab_size"),
        "seq_len": model.seq_len,
        "n_params": counts.n_params,
        "n_params_total": counts.n_params_total,
        "n_params_non_embedding": counts.n_params_non_embedding,
        "n_tokens": n_tokens,
        "tokens_per_param": n_tokens / counts.n_params,
        "n_steps": n_steps,
        "batch_tokens": batch_tokens,
        "lr_peak": known(spec.optim.lr_peak, "optim.lr_peak"),
        "weight_decay": spec.optim.weight_decay,
        "optimizer": spec.optim.optimizer,
        "flops": float(n_tokens * flops_per_token(model)),
        "flops_6nd": float(n_tokens * flops_per_token_6nd(model)),
        "flops_chinchilla": n_tokens * flops_per_token_chinchilla(model),
        "flops_budget": job.flops_budget,
        "recipe": spec.optim.rule,
        "schedule": spec.schedule.name,
        "warmup_tokens": spec.schedule.warmup_tokens,
        "horizon_tokens": spec.schedule.horizon_tokens,
        "precision": spec.precision,
        "trunk_id": trunk_id(spec),
    }
