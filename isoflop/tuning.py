"""Optimal learning rates and batches in one call."""

from typing import Any

from analysis.data.loss_column import with_loss
from analysis.studies.tuning.study import TuningStudy, study_tuning
from isoflop.laws import Runs, read_runs


def fit_tuning(runs: Runs, loss: str = "loss", **read: Any) -> TuningStudy:
    """The best learning rate and batch of every size and length, and their laws in N and D.

    Args:
        runs: What `read_runs` reads; several runs of each size and length with unlike lr (or
            lr_peak) and batch_tokens (or bs).
        loss: The column to minimise.
        read: Further arguments of `read_runs`, such as `columns`.

    Returns:
        `cells`, each with its optimum and interval, or the `reason` why none is inside what was
        tried; `laws` of lr (N and D) and batch (D) with intervals; `wrong_rate`.

    Raises:
        FitError: no rate or batch varies within a cell.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from isoflop import fit_tuning
        >>> cells = [(n, 20 * n, lr) for n in np.geomspace(1e6, 1e8, 6)
        ...          for lr in np.geomspace(3e-4, 3e-2, 12)]
        >>> runs = pd.DataFrame(cells, columns=["n_params", "n_tokens", "lr"])
        >>> best = 4 * runs.n_params**-0.4
        >>> runs["loss"] = 3 * np.exp(0.01 * np.log(runs.lr / best) ** 2)
        >>> law = fit_tuning(runs).laws["lr"]
        >>> round(law.n_exponent, 3), round(law.coefficient, 2)
        (-0.4, 4.0)
    """
    return study_tuning(with_loss(read_runs(runs, **read), loss))
