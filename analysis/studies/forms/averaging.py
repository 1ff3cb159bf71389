"""Averages of candidates by what they got wrong before, and the candidate that was right before.

Weights at a step come from errors on runs that lie within its cut, made at earlier steps: nothing
that is averaged has seen what it is judged by. Predictions are averaged in log loss, where the
error of the average is the average of the errors.
"""

import numpy as np

from analysis.studies.forms.rolling import Rolling

AVERAGE, CHOSEN = "average of all", "best so far"


def weights(errors: np.ndarray) -> np.ndarray:
    """Inverse mean squares of errors (candidates, predictions), that sum to 1, (candidates,).

    A candidate with an error missing has no weight; without any errors all weigh alike.

    Source: Bates and Granger 1969, without the correlations, which few steps do not tell.
    """
    if not errors.shape[1]:
        return np.full(len(errors), 1 / len(errors))
    square = np.mean(errors**2, axis=1)
    raw = np.where(np.isfinite(square), 1 / np.maximum(np.nan_to_num(square, nan=1.0), 1e-16), 0.0)
    return raw / raw.sum()


def seen_before(made: Rolling, step: int) -> np.ndarray:
    """Errors that are known at a step, (candidates, predictions): of earlier steps, on runs within
    the step's cut.
    """
    known = made.group <= made.last[step]
    parts = [made.errors[:, j][:, known & (made.group > made.last[j])] for j in range(step)]
    return np.concatenate(parts, axis=1) if parts else np.empty((len(made.errors), 0))


def combined(made: Rolling) -> dict[str, np.ndarray]:
    """Errors of the average, and of the candidate that was best so far, (steps, runs) each.

    Only candidates that gave a prediction at every step take part. At the first step nothing is
    known: all weigh alike, and no candidate is the best.
    """
    rows = np.flatnonzero(made.complete)
    average, chosen = (np.full(made.errors.shape[1:], np.nan) for _ in range(2))
    for step in range(len(made.cuts) if len(rows) else 0):
        before = seen_before(made, step)[rows]
        average[step] = weights(before) @ made.errors[rows, step]
        if before.shape[1]:
            chosen[step] = made.errors[rows[np.mean(before**2, axis=1).argmin()], step]
    return {AVERAGE: average, CHOSEN: chosen}


def final_weights(made: Rolling) -> np.ndarray:
    """Weights by all errors that were made, (candidates,), 0 for those that missed a step."""
    rows = np.flatnonzero(made.complete)
    found = np.zeros(len(made.candidates))
    if len(rows):
        held_out = np.isfinite(made.distance)
        found[rows] = weights(made.errors[rows][:, held_out])
    return found
