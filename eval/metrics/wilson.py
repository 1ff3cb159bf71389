"""Wilson's interval of a proportion over items."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.per_item import Z_95


def wilson(n_successes: ArrayLike, n_items: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Wilson's 95 % interval of a proportion: (low, high), each of the inputs' broadcast shape.

    With p = k/n and z = 1.96: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
    Zero of 100 gives (0, .0370).
    Source:  Wilson 1927.
    """
    k, n = np.asarray(n_successes, float), np.asarray(n_items, float)
    p, z2 = k / n, Z_95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * np.sqrt(p * (1 - p) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    low = np.where(k == 0, 0.0, np.clip(centre - half, 0, 1))
    return low, np.where(k == n, 1.0, np.clip(centre + half, 0, 1))
