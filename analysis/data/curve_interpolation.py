"""IsoFLOP groups under another count of FLOPs, read off training curves instead of trained again.

Runs of one budget cost the same under one convention and not under another. Where every run of a
size is a part of one and the same training, its curve tells the loss at any D it passed through, so
that losses at equal cost under the other convention can be read. That holds where neither rate nor
batch depends on D: a fixed warm-up, and a decay planned over a fixed horizon or none at all.

Source:  Porian et al. 2024, who read Kaplan et al.'s count (no head, no attention) off such curves.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Recounted:
    """One row a budget and size, (rows,) each, and how many had a D beyond its size's curves."""

    budget: np.ndarray
    n_params: np.ndarray
    n_tokens: np.ndarray
    loss: np.ndarray
    n_beyond: int


def counted_budgets(budget: np.ndarray, flops: np.ndarray) -> dict[float, float]:
    """For each budget the most FLOPs of another count that each of its runs reached.

    Args:    budget: of each run, (runs,); flops: of each run under the other count, (runs,).
    """
    return {float(own): float(flops[budget == own].min()) for own in np.unique(budget)}


def read_curves(
    n_params: np.ndarray, n_tokens: np.ndarray, loss: np.ndarray, budgets: list[float]
) -> Recounted:
    """Losses at D = C / (6 N) for each budget C and size N, linear in log L over log D.

    Args:    n_params, n_tokens, loss: points of training curves, (points,), > 0, N under the count
             that the budgets are of.
    Never extrapolated: a size whose curves do not reach D has no row at that budget.
    """
    sizes = np.unique(n_params)
    curves = [_curve(n_tokens[n_params == size], loss[n_params == size]) for size in sizes]
    rows, n_beyond = [], 0
    for budget in budgets:
        for size, (log_d, log_loss) in zip(sizes, curves, strict=True):
            wanted = np.log(budget / (6 * size))
            # A run's last point is the budget itself, up to rounding.
            if not log_d[0] - 1e-9 <= wanted <= log_d[-1] + 1e-9:
                n_beyond += 1
                continue
            read = float(np.exp(np.interp(wanted, log_d, log_loss)))
            rows.append((budget, size, np.exp(wanted), read))
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    return Recounted(columns[0], columns[1], columns[2], columns[3], n_beyond)


def _curve(n_tokens: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log D in order, each once, and the mean log loss there."""
    places, which = np.unique(n_tokens, return_inverse=True)
    total = np.bincount(which, weights=np.log(loss))
    return np.log(places), total / np.bincount(which)
