"""Which text column explains what a fit leaves: corpora, tokenizers or sources in one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

MOST_VALUES = 20
"""Distinct values of a column beyond which it names runs rather than kinds of them."""

FEWEST_EACH = 2
LEAST_SHARE = 0.5
MOST_PROBABILITY = 1e-3


@dataclass(frozen=True)
class Explained:
    """A column whose values have residuals of their own.

    Attributes:
        column: Its name.
        share: Share of the residuals' variance between values, corrected for their number.
        values: The values, those of most runs first.
        offsets: Mean residual of each value.
    """

    column: str
    share: float
    values: tuple[str, ...]
    offsets: tuple[float, ...]

    def sentence(self, setting: str | None = None) -> str:
        """Such as "dataset explains 93 % of the residuals; fit.where='dataset == ...' fits one"."""
        one = setting or f"""fit.where='{self.column} == "{self.values[0]}"'"""
        return (
            f"{self.column} explains {100 * self.share:.0f} % of the residuals, so its values are "
            f"kinds of runs that no one law describes; {one} fits one of them, "
            f"fit.by={self.column} each apart"
        )


def explaining_column(
    columns: Mapping[str, Sequence[str]], residuals: np.ndarray, least: float = LEAST_SHARE
) -> Explained | None:
    """The text column that explains most of a fit's residuals; None where none explains enough.

    Args:
        columns: Texts by column, (runs,) each; an empty text is a value of its own.
        residuals: Log of observed over fitted loss, (runs,).
        least: Share that a column has to explain.

    The share is omega squared of a one-way analysis of variance, which is 0 on average for a column
    that has nothing to do with the residuals, and its F test must be significant at 0.001 over the
    number of columns tried.
    """
    usable = np.isfinite(residuals)
    found = [
        explained
        for name, texts in columns.items()
        if (explained := _explained(name, np.asarray(texts, dtype=object)[usable],
                                    residuals[usable], len(columns)))
    ]  # fmt: skip
    best = max(found, key=lambda e: e.share, default=None)
    return best if best is not None and best.share >= least else None


def _explained(name: str, texts: np.ndarray, r: np.ndarray, n_tried: int) -> Explained | None:
    values, group, counts = np.unique(texts.astype(str), return_inverse=True, return_counts=True)
    n, k = len(r), len(values)
    if not 2 <= k <= MOST_VALUES or counts.max() == n or np.median(counts) < FEWEST_EACH or n <= k:
        return None
    means = np.bincount(group, r) / counts
    total = float(np.sum((r - r.mean()) ** 2))
    within = float(np.sum((r - means[group]) ** 2))
    if total <= 0:
        return None
    noise = within / (n - k)
    share = (total - within - (k - 1) * noise) / (total + noise)
    f = (total - within) / (k - 1) / noise if noise > 0 else np.inf
    if stats.f.sf(f, k - 1, n - k) * n_tried > MOST_PROBABILITY:
        return None
    order = np.argsort(-counts, kind="stable")
    return Explained(name, float(share), tuple(values[order]), tuple(map(float, means[order])))
