"""Sparsity of mixtures of experts in one call."""

from collections.abc import Sequence

from analysis.studies.sparsity.study import N_DRAWS, SparsityStudy, study_sparsity
from isoflop.laws import Runs, read_runs


def fit_sparsity(
    runs: Runs, budgets: Sequence[float] = (), *, n_resamples: int = N_DRAWS, seed: int = 0
) -> SparsityStudy:
    """A law of loss in parameters, tokens and sparsity (Abnar et al. 2025).

    Args:
        runs: What `read_runs` reads, n_params counting all parameters, with a column sparsity, or
            n_experts and experts_per_token, or n_params_active.
        budgets: FLOPs to advise for; the largest that ran and ten times that if empty.
        n_resamples: Of the runs, for intervals.
        seed: Of the resamples.

    Returns:
        `fit.law` (loss(n_params, n_tokens, sparsity)), `levels` with the best model of each budget
        and sparsity that was trained, `best(flops)`, and `objections`.

    Raises:
        FitError: fewer than twelve runs, or than three levels of sparsity.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from isoflop import fit_sparsity
        >>> cells = [(c, s, k) for c in (1e18, 1e19, 1e20) for s in (0, 0.5, 0.9)
        ...          for k in (0.3, 0.6, 1.2, 2.4)]
        >>> runs = pd.DataFrame(cells, columns=["flops", "sparsity", "k"])
        >>> runs["n_params_active"] = runs.k * (runs.flops / 120) ** 0.5
        >>> runs["n_params"] = runs.n_params_active / (1 - runs.sparsity)
        >>> runs["n_tokens"] = runs.flops / (6 * runs.n_params_active)
        >>> runs["loss"] = 1.5 + 1500 / runs.n_params**0.45 + 5000 / runs.n_tokens**0.38
        >>> made = fit_sparsity(runs, [1e20], n_resamples=0)
        >>> made.objections, made.best(1e20).sparsity
        ((), 0.9)
    """
    return study_sparsity(read_runs(runs), budgets, n_resamples, seed)
