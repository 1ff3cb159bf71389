"""How well a law fits its own runs: scatter, what it explains, and a test against seed noise."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.data.run_arrays import BestOf

FEWEST_REPEATS = 3
"""Degrees of freedom below which repeated cells do not tell the seed noise."""

N_WORST = 3
"""Runs that are named for lying farthest from the law."""


@dataclass(frozen=True)
class FitQuality:
    """Scatter of runs about a law, all of log residuals, so that .01 is 1 % of the loss.

    Attributes:
        rms: Root mean square over all runs.
        rms_within_budgets: The same about each budget's mean residual, with its degrees of freedom;
            None where no budget has two runs.
        share_explained: Share of the variance of log loss that the law explains.
        seed_noise: Standard deviation between repeats of one cell, or of the best of its runs where
            these alone are fitted; None where too few repeat.
        lack_of_fit: P value of the F test that the law misses the cells by no more than the seed
            noise; None without that noise.
        worst: Rows of the runs that lie farthest away, the farthest first.
    """

    rms: float
    rms_within_budgets: float | None
    share_explained: float
    seed_noise: float | None
    lack_of_fit: float | None
    worst: tuple[int, ...]


def assess_fit(
    residuals: np.ndarray,
    loss: np.ndarray,
    cells: np.ndarray,
    budget: np.ndarray,
    n_free: int,
    best_of: BestOf | None = None,
) -> FitQuality:
    """Judge a law by its residuals.

    Args:
        residuals: log L - log L_fit, shape (runs,).
        loss: Losses, shape (runs,), > 0.
        cells: A number per run, equal for repeats of one N and D, shape (runs,).
        budget: Compute budgets, NaN for none, shape (runs,).
        n_free: Free parameters of the law.
        best_of: The noise of each run, where runs are the best of their cells.

    Returns:
        The quality of the fit.

    Source: the lack-of-fit test is Draper and Smith 1998, section 2.1.
    """
    log_loss = np.log(loss)
    spread = float(np.sum((log_loss - log_loss.mean()) ** 2))
    squares = float(np.sum(residuals**2))
    noise_squares, noise_freedom = within_groups(log_loss, cells)
    grouped = np.isfinite(budget)
    own_squares, own_freedom = within_groups(residuals[grouped], budget[grouped])
    known = noise_freedom >= FEWEST_REPEATS and noise_squares > 0
    test = _lack_of_fit(residuals, noise_squares, noise_freedom, n_free) if known else None
    noise = float(np.sqrt(noise_squares / noise_freedom)) if known else None
    if best_of is not None:
        noise, test = float(np.sqrt(np.mean(best_of.sd**2))), _beyond(residuals, best_of, n_free)
    return FitQuality(
        rms=float(np.sqrt(squares / len(residuals))),
        rms_within_budgets=float(np.sqrt(own_squares / own_freedom)) if own_freedom else None,
        share_explained=1 - squares / spread if spread > 0 else float("nan"),
        seed_noise=noise,
        lack_of_fit=test,
        worst=tuple(map(int, np.argsort(-np.abs(residuals), kind="stable")[:N_WORST])),
    )


def within_groups(values: np.ndarray, groups: np.ndarray) -> tuple[float, int]:
    """Sum of squares about each group's mean, and its degrees of freedom.

    Args:
        values: Shape (runs,).
        groups: Equal for the members of one group, shape (runs,).
    """
    labels, place = np.unique(groups, return_inverse=True)
    counts = np.bincount(place, minlength=len(labels))
    means = np.bincount(place, values, minlength=len(labels)) / np.maximum(counts, 1)
    return float(np.sum((values - means[place]) ** 2)), int(len(values) - len(labels))


def _lack_of_fit(
    residuals: np.ndarray, noise_squares: float, noise_freedom: int, n_free: int
) -> float | None:
    """P value of what the residuals hold beyond the repeats' own scatter."""
    freedom = len(residuals) - n_free - noise_freedom
    if freedom < 1:
        return None
    beyond = max(float(np.sum(residuals**2)) - noise_squares, 0.0) / freedom
    return float(stats.f.sf(beyond / (noise_squares / noise_freedom), freedom, noise_freedom))


def _beyond(residuals: np.ndarray, best_of: BestOf, n_free: int) -> float | None:
    """P value of residuals of cells' best runs against the noise of those."""
    freedom = len(residuals) - n_free
    if freedom < 1 or not (best_of.sd > 0).all():
        return None
    # What is common to all cells is taken up by the law itself, so a bias does not count here.
    ratio = float(np.sum((residuals / best_of.sd) ** 2)) / freedom
    return float(stats.f.sf(ratio, freedom, best_of.freedom))
