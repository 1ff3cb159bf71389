"""Checks of the arrays that fits are given; every message names the value, the row and the fix."""

from collections.abc import Mapping

import numpy as np

from analysis.errors import FitError
from analysis.fits.surface import PARAMETERS


def checked_runs(
    n_params: np.ndarray, n_tokens: np.ndarray, loss: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three columns as float arrays, (runs,) each.

    Raises:  FitError: unequal lengths, fewer than `least` runs, a value not positive and finite.
    """
    columns = {
        "n_params": np.asarray(n_params, dtype=float),
        "n_tokens": np.asarray(n_tokens, dtype=float),
        "loss": np.asarray(loss, dtype=float),
    }
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or columns["loss"].ndim != 1:
        raise FitError(f"columns must be one-dimensional and of one length; got {shapes}")
    if len(columns["loss"]) < least:
        raise FitError(
            f"{len(columns['loss'])} runs can't determine {least} parameters; expected at least "
            f"{least} runs: add runs or fix parameters"
        )
    for name, column in columns.items():
        bad = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
        if len(bad):
            raise FitError(
                f"{name}[{bad[0]}]={column[bad[0]]} ({len(bad)} of {len(column)} rows); "
                f"expected positive finite values: filter those rows out"
            )
    return columns["n_params"], columns["n_tokens"], columns["loss"]


def checked_weights(weights: np.ndarray | None, n_runs: int) -> np.ndarray:
    """One weight >= 0 for each run, all 1 by default."""
    checked = np.ones(n_runs) if weights is None else np.asarray(weights, dtype=float)
    if checked.shape != (n_runs,) or not np.all(np.isfinite(checked) & (checked >= 0)):
        raise FitError(f"weights {checked.shape} must be one number >= 0 for each of {n_runs} runs")
    return checked


def checked_fixed(fixed: Mapping[str, float]) -> dict[str, float]:
    """Parameters to hold, by name; all positive, save for E, which may be held at 0."""
    for name, value in fixed.items():
        if name not in PARAMETERS:
            raise FitError(f"fixed parameter {name!r} is unknown; expected one of {PARAMETERS}")
        if not (np.isfinite(value) and (value > 0 or (name == "E" and value == 0))):
            raise FitError(f"fixed {name}={value} must be positive and finite")
    return {name: float(value) for name, value in fixed.items()}


LEAST_RANGE = 1.05
"""Range of N or D below which its power law is a straight line, whose exponent can be anything."""


def undetermined(
    n_params: np.ndarray, n_tokens: np.ndarray, weights: np.ndarray, fixed: Mapping[str, float]
) -> str:
    """Why these runs can't determine the free parameters of a surface; empty when they can."""
    used = weights > 0
    for name, values, own in (
        ("model size", n_params[used], {"A", "alpha"}),
        ("number of tokens", n_tokens[used], {"B", "beta"}),
    ):
        distinct = len(np.unique(np.round(np.log(values), 6)))
        needed = 1 + len(own - fixed.keys())
        if distinct < needed:
            return f"only {distinct} distinct {name}; the fit needs at least {needed}"
        if needed > 1 and np.ptp(np.log(values)) < np.log(LEAST_RANGE):
            low, high = float(values.min()), float(values.max())
            return (
                f"{name} does not vary: it is {low:.4g} to {high:.4g} in all runs; the fit needs "
                f"a range of at least {100 * (LEAST_RANGE - 1):.0f} %"
            )
    spread = float(np.ptp(np.log(n_params[used] * n_tokens[used])))
    if spread < np.log(1.2):
        return "all runs have one compute budget, where N and D can't be told apart; add another"
    return ""
