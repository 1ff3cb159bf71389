"""A sweep of two recipes made from known surfaces: one whose curves can be recounted, one not."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.fits.surface import Surface
from tests.support.synthetic_sweep import TRUTH, record, shape
from train.config.flops import count_params, flops_per_token

HEADLESS = Surface(E=1.4, A=8.1, B=140.0, alpha=0.3, beta=0.42)
"""Losses of the recipe `kaplan`, over parameters without the head."""

WIDTHS = (8, 12, 16, 24, 32, 48, 64, 96)
NOISE = 0.001


def write_recipes(directory: Path, budgets: tuple[float, ...] = (2e11, 8e11, 3.2e12)) -> Path:
    """Recipes kaplan (one horizon for all runs) and chinchilla (each run's own), same cells."""
    rng = np.random.default_rng(3)
    rows, curves = [], []
    for recipe in ("kaplan", "chinchilla"):
        for budget in budgets:
            for width in WIDTHS:
                model = shape(width)
                counts = count_params(model)
                n_tokens = round(budget / flops_per_token(model) / 2048) * 2048
                places = np.geomspace(0.02, 1, 24) * n_tokens
                if recipe == "kaplan":
                    losses = HEADLESS.loss(counts.n_params_non_embedding, places)
                else:
                    losses = TRUTH.loss(counts.n_params, places) + 0.1 * (1 - places / n_tokens)
                losses = np.asarray(losses) * np.exp(rng.normal(0, NOISE))
                run = record(
                    model, n_tokens, float(losses[-1]), budget=budget,
                    name=f"{recipe}-{budget:.0e}-d{width}", grid=recipe, recipe=recipe,
                    warmup_tokens=3e5 if recipe == "kaplan" else 0.1 * n_tokens,
                    horizon_tokens=2e8 if recipe == "kaplan" else None,
                )  # fmt: skip
                row = dataclasses.asdict(run)
                del row["losses"], row["epochs"]
                rows.append({**row, "dir": f"runs/{run.name}"})
                curves.append(pd.DataFrame({
                    "run_id": run.run_id, "step": (places / 2048).astype(int), "n_tokens": places,
                    "flops": places / n_tokens * run.flops, "train_loss": losses, "loss": losses,
                    "lr": run.lr_peak,
                }))  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(directory / "runs.parquet")
    pd.concat(curves).to_parquet(directory / "curves.parquet")
    return directory
