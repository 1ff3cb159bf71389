"""A sweep directory as `sweeps` leaves it, made from a known surface instead of trained models."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.data.cost_law import Cost
from analysis.fits.surface import Surface
from train.config.flops import count_params, flops_per_token, flops_per_token_chinchilla
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec
from train.rundir.record import RunRecord

TRUTH = Surface(E=0.9, A=25.0, B=140.0, alpha=0.35, beta=0.4, cost=Cost())
"""Loss of the synthetic runs in nats a token; profiles lie inside the grid of `write_sweep`."""

NOISE = 0.003


def record(
    model: ModelSpec,
    n_tokens: int,
    loss: float | None,
    *,
    budget: float | None,
    name: str,
    **changed,
) -> RunRecord:
    """A record with consistent counts for a shape; keyword arguments replace any field."""
    counts = count_params(model)
    flops = float(flops_per_token(model) * n_tokens)
    fields = {
        "run_id": hashlib.sha256(name.encode()).hexdigest()[:12],
        "name": name,
        "sweep": "synthetic",
        "grid": "isoflop",
        "status": "finished",
        "data": "stdlib",
        "data_fingerprint": "f00d",
        "seed": 0,
        "family": "llama",
        "d_model": model.d_model,
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "d_ff": model.d_ff,
        "vocab_size": model.vocab_size,
        "seq_len": model.seq_len,
        "n_params": counts.n_params,
        "n_params_total": counts.n_params_total,
        "n_params_non_embedding": counts.n_params_non_embedding,
        "n_tokens": n_tokens,
        "tokens_per_param": n_tokens / counts.n_params,
        "n_steps": max(1, n_tokens // 2048),
        "batch_tokens": 2048,
        "lr_peak": 0.01,
        "flops": flops,
        "flops_6nd": 6.0 * counts.n_params_total * n_tokens,
        "flops_chinchilla": float(flops_per_token_chinchilla(model) * n_tokens),
        "flops_budget": budget,
        "flops_spent": flops,
        "loss": loss,
        "bits_per_byte": None if loss is None else loss / np.log(2),
        "train_loss": loss,
        "epochs": {"stdlib": 0.2},
        "wall_seconds": 10.0,
    }
    return RunRecord(**{**fields, **changed})


def shape(d_model: int) -> ModelSpec:
    return complete_shape(ModelSpec(d_model=d_model, vocab_size=257, seq_len=128))


def write_sweep(directory: Path, seeds: int = 2, ladder: bool = True) -> Path:
    """runs.parquet and curves.parquet: an IsoFLOP grid, a ladder on other data, two failures."""
    rng = np.random.default_rng(7)
    rows, curves = [], []

    def add(run: RunRecord) -> None:
        row = dataclasses.asdict(run)
        for part in ("losses", "epochs"):
            row |= {f"{part}_{key}": value for key, value in row.pop(part).items()}
        rows.append({**row, "dir": f"runs/{run.name}"})
        if run.loss is not None:
            curves.append(_curve(run))

    for budget in (2e11, 8e11, 3.2e12):
        for d_model in (8, 12, 16, 24, 32, 48, 64, 96):
            model = shape(d_model)
            n_tokens = round(budget / flops_per_token(model) / 2048) * 2048
            if n_tokens < 2 * 2048:
                continue
            for seed in range(seeds):
                clean = TRUTH.loss(count_params(model).n_params, n_tokens)
                name = f"c{budget:.0e}-d{d_model}-s{seed}"
                loss = float(clean * np.exp(rng.normal(0, NOISE)))
                add(record(model, n_tokens, loss, budget=budget, name=name, seed=seed))
    for d_model in (8, 16, 32, 64) if ladder else ():
        add(record(shape(d_model), 10**6, 1.2, budget=None, name=f"add-d{d_model}", grid="ladder",
                   data="arithmetic", data_fingerprint="beef"))  # fmt: skip
    add(record(shape(64), 10**6, 9.0, budget=2e11, name="hot", status="diverged",
               message="loss is NaN at step 40"))  # fmt: skip
    add(record(shape(16), 10**6, None, budget=2e11, name="late", status="running"))
    directory.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(directory / "runs.parquet")
    pd.concat(curves).to_parquet(directory / "curves.parquet")
    return directory


def _curve(run: RunRecord) -> pd.DataFrame:
    """Losses along training that end in the run's own; above the surface before, as under decay."""
    share = np.linspace(0.1, 1, 10)
    n_tokens = (share * run.n_tokens).astype(int)
    on_surface = TRUTH.loss(run.n_params, n_tokens) + 0.15 * (1 - share)
    loss = on_surface * (run.loss / TRUTH.loss(run.n_params, run.n_tokens))
    steps = (share * run.n_steps).astype(int)
    return pd.DataFrame({
        "run_id": run.run_id, "step": steps, "n_tokens": n_tokens, "flops": share * run.flops,
        "train_loss": loss, "loss": loss, "lr": run.lr_peak,
    })  # fmt: skip
