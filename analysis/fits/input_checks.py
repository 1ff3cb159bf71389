"""Checks of the arrays that fits are given; every message names the value, the row and the fix."""

from collections.abc import Mapping

import numpy as np

from analysis.errors import FitError
from analysis.fits.surface import PARAMETERS

LEAST_FACTOR = 1.1
"""Sizes, or token counts, that span less say nothing of an exponent: 10 % more parameters change
the loss by what another seed does."""

LINE_SPREAD = 0.03
"""Least rms distance of (log N, log D) from their line. At .02 and a seed noise of .004 simulated
fits give a beta of 2.5 for .28, and call it converged."""


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


def checked_fixed(fixed: Mapping[str, float], tied: bool = False) -> dict[str, float]:
    """Parameters to hold, by name; all positive, save for E, which may be held at 0.

    Where alpha and beta are tied, one of them that is fixed fixes the other.
    """
    for name, value in fixed.items():
        if name not in PARAMETERS:
            raise FitError(f"fixed parameter {name!r} is unknown; expected one of {PARAMETERS}")
        if not (np.isfinite(value) and (value > 0 or (name == "E" and value == 0))):
            raise FitError(f"fixed {name}={value} must be positive and finite")
    held = {name: float(value) for name, value in fixed.items()}
    exponents = {held[name] for name in ("alpha", "beta") if name in held}
    if tied and len(exponents) > 1:
        raise FitError(
            f"fixed alpha={held['alpha']} and beta={held['beta']} differ; tied exponents are one: "
            f"fix one of them"
        )
    return held | {name: value for value in exponents if tied for name in ("alpha", "beta")}


def undetermined(
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    weights: np.ndarray,
    fixed: Mapping[str, float],
    tied: bool = False,
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
        factor = float(values.max() / values.min())
        if needed > 1 and factor < LEAST_FACTOR:
            return (
                f"the {name} does not vary: {values.min():.4g} to {values.max():.4g}, a factor of "
                f"{factor:.4g}; the fit needs at least {LEAST_FACTOR:g}"
            )
    spread = float(np.ptp(np.log(n_params[used] * n_tokens[used])))
    if spread < np.log(1.2):
        return "all runs have one compute budget, where N and D can't be told apart; add another"
    if not ({"A", "alpha"} <= fixed.keys() or {"B", "beta"} <= fixed.keys()):
        return _on_one_line(np.log(n_params[used]), np.log(n_tokens[used]))
    return ""


def _on_one_line(u: np.ndarray, v: np.ndarray) -> str:
    """Why runs of log N = u and log D = v, (runs,) each, form no surface; empty where they do.

    Along D = k N^s both terms of the surface are functions of N alone, and fits of any noise trade
    one for the other.
    """
    (slope_u, slope_v), spread = _principal_axis(np.stack([u - u.mean(), v - v.mean()]))
    if spread > LINE_SPREAD:
        return ""
    exponent = slope_v / slope_u
    about = float(np.exp(np.mean(v - u)))
    line = (
        f"D = {about:.3g} N" if abs(exponent - 1) < 0.02 else f"D proportional to N^{exponent:.2f}"
    )
    within = f"within {100 * spread:.1g} %" if spread > 1e-4 else "exactly"
    return (
        f"N and D lie on one line ({line}, {within}), where the two can't be told apart; add runs "
        f"at other ratios of D to N"
    )


def _principal_axis(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The direction (2,) in which points (2, n) vary most, and their rms off it."""
    variances, axes = np.linalg.eigh(points @ points.T / points.shape[1])
    return axes[:, 1], float(np.sqrt(max(variances[0], 0.0)))
