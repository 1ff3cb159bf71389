"""Two sets of runs beside each other in one call."""

from collections.abc import Sequence
from typing import Any

from analysis.studies.fit_config import FitConfig
from analysis.studies.multiplier.multiplier import APPROACHES, ComputeMultiplier, multipliers
from analysis.studies.study import run_study
from isoflop.laws import Runs, read_runs


def compute_multiplier(
    first: Runs,
    second: Runs,
    flops: Sequence[float] = (),
    *,
    counting: str = "exact",
    **settings: Any,
) -> list[ComputeMultiplier]:
    """How much less compute the second way of training takes for the first one's losses.

    Args:
        first: What `read_runs` reads; its compute C is the measure.
        second: The other runs, with losses on the same text in the same unit.
        flops: Further amounts of the first's compute to give the multiplier at.
        counting: How N and C are counted: exact, 6nd, non_embedding or chinchilla.
        settings: Those of `fit.` on the command line (docs/settings.md).

    Returns:
        One multiplier by each of approaches 2 and 3, those with a `headline` first: `value` m says
        that the second reaches with C / m what the first reaches with C, with its 95 % `interval`
        and the `p_value` of no difference. Without a headline there is the `reason`.

    Raises:
        FitError: runs that cannot be fitted at all.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from isoflop import Surface, compute_multiplier
        >>> law = Surface(E=1.8, A=480.0, B=480.0, alpha=0.35, beta=0.35)
        >>> sizes, tokens = np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5)
        >>> runs = pd.DataFrame({"n_params": np.repeat(sizes, 5), "n_tokens": np.tile(tokens, 5)})
        >>> noise = np.random.default_rng(0).normal(0, 0.003, (2, 25))
        >>> old = runs.assign(loss=law.loss(runs.n_params, runs.n_tokens) + noise[0])
        >>> new = runs.assign(loss=law.loss(runs.n_params, 2 * runs.n_tokens) + noise[1])
        >>> found = compute_multiplier(old, new, n_resamples=200)[0]
        >>> low, high = found.headline.interval
        >>> low < 2 < high, found.differs
        (True, True)
    """
    config = FitConfig(**{"approaches": list(APPROACHES), **settings})
    ours, theirs = (run_study(read_runs(runs), config, counting) for runs in (first, second))
    return multipliers(ours, theirs, flops)
