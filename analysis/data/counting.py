"""The columns N, D, C of some runs under a named counting convention.

exact          N: matmul parameters with the head; C: what ran, attention included
6nd            N: every parameter;                 C = 6 N D
non_embedding  N: without embeddings and head;     C = 6 N D   (Kaplan et al. 2020)
active         N: those matmul parameters that a token meets (of experts, the ones it takes)
chinchilla     N: every parameter;                 C as in Hoffmann et al. 2022, appendix F

The N of C = 6 N D leaves out the experts that a token does not take.
"""

import numpy as np
import pandas as pd

from analysis.data.cost_law import fit_cost
from analysis.data.run_arrays import RunArrays
from analysis.errors import FitError

COUNTINGS = ("exact", "6nd", "non_embedding", "chinchilla", "active")
_PARAMS = {
    "exact": "n_params",
    "6nd": "n_params_total",
    "non_embedding": "n_params_non_embedding",
    "chinchilla": "n_params_total",
    "active": "n_params_active",
}
_FLOPS = {"exact": "flops", "active": "flops", "chinchilla": "flops_chinchilla"}


def needed_columns(counting: str) -> tuple[str, ...]:
    """Columns that a convention reads beside n_tokens and loss.

    Raises:  FitError: an unknown convention.
    """
    if counting not in COUNTINGS:
        raise FitError(f"counting={counting!r} is unknown; expected one of {', '.join(COUNTINGS)}")
    return (_PARAMS[counting], *([_FLOPS[counting]] if counting in _FLOPS else []))


def distinct(frame: pd.DataFrame) -> tuple[str, ...]:
    """The conventions that are not one and the same for some runs: of dense models, `active` is
    `exact`.
    """
    mixtures = False
    if "n_params_active" in frame:
        active = frame["n_params_active"].to_numpy(dtype=float, na_value=np.nan)
        mixtures = bool((np.isfinite(active) & (active != frame["n_params"].to_numpy())).any())
    return tuple(name for name in COUNTINGS if name != "active" or mixtures)


def count(columns: dict[str, np.ndarray], counting: str) -> RunArrays:
    """Runs under one convention.

    Args:    columns: arrays (runs,) by name; n_tokens, loss, those of `needed_columns`, and
             `budget`, the group of runs that share a compute budget (NaN for none). A budget's
             FLOPs are the median of its runs' FLOPs under the convention.
    Raises:  FitError: an unknown convention, a missing column.
    """
    if counting == "6nd" and "n_params_total" not in columns:
        columns = {**columns, "n_params_total": columns["n_params"]}
    idle = np.zeros(len(columns["n_tokens"]))
    if "n_params_active" in columns:  # runs of earlier releases, all dense, do not state it
        active = columns["n_params_active"]
        active = np.where(np.isfinite(active), active, columns["n_params"])
        columns = {**columns, "n_params_active": active}
        idle = columns["n_params"] - active
    missing = [name for name in needed_columns(counting) if name not in columns]
    if missing:
        raise FitError(
            f"counting={counting} needs {', '.join(missing)}, which the table has not; "
            f"use counting=exact, or add the column"
        )
    n_params, n_tokens = columns[_PARAMS[counting]], columns["n_tokens"]
    own = columns[_FLOPS[counting]] if counting in _FLOPS else None
    flops = 6.0 * (n_params - idle) * n_tokens if own is None else own
    return RunArrays(
        counting=counting,
        n_params=n_params,
        n_tokens=n_tokens,
        flops=flops,
        loss=columns["loss"],
        budget=_budgets(columns["budget"], flops),
        cost=fit_cost(n_params, n_tokens, flops),
    )


def _budgets(group: np.ndarray, flops: np.ndarray) -> np.ndarray:
    budget = np.full(len(group), np.nan)
    for value in np.unique(group[np.isfinite(group)]):
        rows = group == value
        budget[rows] = np.median(flops[rows])
    return budget
