"""One solver for every form of L(N, D): Huber's or squared error of log L or of L, many starts.

A form gives log L and its derivatives by its parameters; Newton steps under the curvature of the
parabola that touches Huber's loss from above do the rest, for all starts at once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.fits.parametric.huber import LogRuns, Penalty
from analysis.fits.parametric.problem import distinct
from analysis.stats.newton import minimise

Model = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(theta (batch, p), u (runs,), v (runs,)) -> log L (batch, runs), its slopes (batch, p, runs); u
and v are log N and log D about the centre of the fitted runs."""

LEAST_WIDTH = 1e-4
"""Narrowest Huber loss; iterated weights do not converge on a narrower one."""

WIDENED = (30.0, 1.0)
"""Widths of the Huber loss in turn, as multiples of the asked one."""

WIDE_TOLERANCE, MET, MOST_STEPS = 1e-3, 1e-2, 60
"""Last step under the wide loss, difference below which two of its ends are one, and the steps of
a search at most: beyond them a form follows a direction that no prediction depends on."""


@dataclass(frozen=True)
class Ends:
    """The lowest end of a search: parameters (p,), objective, and names of what hit a bound."""

    theta: np.ndarray
    objective: float
    at_bound: np.ndarray


def search(
    model: Model,
    runs: LogRuns,
    starts: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    penalty: Penalty,
    tolerance: float = 1e-5,
) -> Ends:
    """The lowest minimum from the starts (batch, p).

    Args:
        model: The form.
        runs: The runs, centred.
        starts: Parameter vectors to start from.
        bounds: Lower and upper, (p,) each.
        penalty: Width of the Huber loss (inf for squares), and residuals of log L or of L.
        tolerance: Of the last step.
    """
    theta, found, narrow = starts, None, max(penalty.delta, LEAST_WIDTH)
    widths = [narrow] if np.isinf(narrow) else [narrow * factor for factor in WIDENED]
    for width in widths:
        found = minimise(
            lambda t, rows, w=width: _derivatives(model, runs, t, w, penalty.residual),
            theta, bounds, max_iterations=MOST_STEPS,
            tolerance=tolerance if width == widths[-1] else WIDE_TOLERANCE,
        )  # fmt: skip
        theta = distinct(found, MET)  # starts that met are followed once
    assert found is not None  # there is always one width
    best = int(np.argmin(found.value))
    return Ends(found.theta[best], float(found.value[best]), found.at_bound[best])


def _derivatives(
    model: Model, runs: LogRuns, theta: np.ndarray, delta: float, residual: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    log_loss, slopes = model(theta, runs.u, runs.v)
    if residual == "loss":
        loss = np.exp(np.minimum(log_loss, 50.0))
        r, slopes = loss - runs.loss, slopes * loss[:, None, :]
    else:
        r = log_loss - runs.y
    slope = np.clip(r, -delta, delta)
    bent = np.minimum(1.0, delta / np.maximum(np.abs(r), 1e-300))
    value = (slope * (r - slope / 2)).sum(axis=1)
    gradient = (slopes @ slope[:, :, None])[:, :, 0]
    return value, gradient, (slopes * bent[:, None, :]) @ np.swapaxes(slopes, 1, 2)
