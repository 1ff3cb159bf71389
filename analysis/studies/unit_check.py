"""Signs that a table is not what it seems, read from how a fit misses it."""

import numpy as np

BITS = float(np.log(1 / np.log(2)))
"""log of a loss in bits over the same loss in nats: 0.3665."""


def mixed_units(residuals: np.ndarray) -> int:
    """How many runs look as if their loss were in bits among losses in nats; 0 for no suspicion.

    Such residuals of log loss form two tight groups 0.3665 apart. The best split into two groups is
    suspect if their distance is within 0.09 of that, each scatters by less than 0.08, and the
    smaller holds two runs and a twentieth of all.

    Args:    residuals: log of observed over fitted loss, (runs,).
    """
    r = np.sort(residuals[np.isfinite(residuals)])
    n_runs = len(r)
    if n_runs < 6:
        return 0
    sums, squares = np.cumsum(r), np.cumsum(r**2)
    low = np.arange(1, n_runs)
    within = (squares[:-1] - sums[:-1] ** 2 / low) + (
        (squares[-1] - squares[:-1]) - (sums[-1] - sums[:-1]) ** 2 / (n_runs - low)
    )
    cut = int(within.argmin()) + 1
    below, above = r[:cut], r[cut:]
    distance = float(above.mean() - below.mean())
    tight = max(float(below.std()), float(above.std())) < 0.08
    enough = min(len(below), len(above)) >= max(2, n_runs / 20)
    return len(above) if abs(distance - BITS) < 0.09 and tight and enough else 0
