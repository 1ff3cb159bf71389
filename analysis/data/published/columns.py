"""Columns of published files as this project's own: one pure function for each table.

Every function takes the files of one table as data frames, in the registry's order, and returns
one frame in the design's names (docs/results.md). No value is changed; what a file does not hold
and its authors derive, FLOPs of Gemstones, is derived as they do.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

Convert = Callable[[Sequence[pd.DataFrame]], pd.DataFrame]

_SEQ_LEN, _HEAD, _VOCAB = 2048, 128, 50304
"""Of every Gemstone: tokens of context, width of one head, entries of the vocabulary."""


def renamed(**names: str) -> Convert:
    """A conversion that names columns alone: ours="theirs"; all other columns stay as they are."""
    theirs = {other: ours for ours, other in names.items()}

    def convert(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
        return frames[0].rename(columns=theirs)

    return convert


def hoffmann2022(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """N, C and L of the points; their pixels and colours in the figure are left out."""
    names = {"Model Size": "n_params", "Training FLOP": "flops", "loss": "loss"}
    return frames[0].loc[:, list(names)].rename(columns=names)


def gemstones(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Points of training curves, with FLOPs from width, depth and tokens."""
    frame = frames[0].loc[frames[0]["step"] > 0]
    width, depth = (frame[name].to_numpy(dtype=float) for name in ("width", "depth"))
    return pd.DataFrame({
        "run": frame["run_name"],
        "n_params": frame["params_active_precise"],
        "n_tokens": frame["tokens"],
        "flops": gemstone_flops_per_token(width, depth) * frame["tokens"],
        "loss": frame["final_loss"],
    })  # fmt: skip


def gemstone_flops_per_token(width: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """FLOPs of one token's forward and backward pass through a Gemstone.

    A layer costs 18 w^2 for the attention's products (as many key and value heads as half the
    query heads, twice), 72 w^2 for an MLP four times as wide, 183.75 w for rotations, activations
    and norms, all three times for forward and backward; and 3.5 times 3 T w (1 + 1/128) for the
    causal scores, their softmax and the weighted values, whose backward pass is recomputed.
    Source:  McLeish et al. 2025, appendix on counting FLOPs.
    """
    scores = 3.5 * 3 * _SEQ_LEN * (1 + 1 / _HEAD)
    layer = 90.0 * width**2 + (183.75 + scores) * width
    return depth * layer + (21.0 + 6.0 * _VOCAB) * width


def cs336(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Runs at budgets that their FLOPs equal to every digit; tokens follow from 6 N D."""
    names = {"parameters": "n_params", "compute_budget": "flops", "final_loss": "loss"}
    frame = frames[0].rename(columns=names)
    return frame.assign(flops_budget=frame["flops"])


def obsscaling(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Scores one a row, with the family, size, tokens and FLOPs that the table of benchmarks gives.

    `frames` are the scores and the benchmarks. A score's column is named TASK_2_METRIC after the
    two-shot prompts.
    """
    scores, benchmarks = frames
    sizes = pd.DataFrame({
        "model": benchmarks["Model"],
        "family": benchmarks["Model Family"],
        "n_params": benchmarks["Model Size (B)"] * 1e9,
        "n_tokens": benchmarks["Pretraining Data Size (T)"] * 1e12,
        "flops": benchmarks["FLOPs (1E21)"] * 1e21,
    })  # fmt: skip
    long = scores.rename(columns={"Model": "model"}).melt("model", var_name="column")
    named = long["column"].str.extract(r"^(?P<task>.+)_2_(?P<metric>.+)$")
    rows = pd.concat([long[["model"]], named, long[["value"]]], axis=1).dropna().assign(n_shots=2)
    return rows.merge(sizes, on="model", how="left")


def schedules(*names: str) -> Convert:
    """A conversion of one file for each loss curve, whose name becomes the column `curve`."""

    def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
        parts = [frame.assign(curve=name) for name, frame in zip(names, frames, strict=True)]
        return pd.concat(parts, ignore_index=True)

    return joined
