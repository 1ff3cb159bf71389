"""C = 6 N D in a table of runs: what it lacks, and FLOPs that are far off.

A token costs what the parameters that it meets cost, so of a mixture of experts N is the active
parameters, where a column says them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.data.loss_table import TableError, as_numbers
from analysis.data.reading.understand import few

QUANTITIES = ("n_params", "n_tokens", "flops")

MOST_OFF = 3.0
"""Factor between FLOPs and 6 N D above which units are in doubt."""


def active_params(frame: pd.DataFrame) -> np.ndarray:
    """Parameters that a token meets, (runs,): n_params_active, or all where it says nothing."""
    n, active = as_numbers(frame, "n_params"), as_numbers(frame, "n_params_active")
    return np.where(np.isfinite(active) & (active > 0), active, n)


def completed(frame: pd.DataFrame, headers: Sequence[str], source: str) -> pd.DataFrame:
    """The frame with all of n_params, n_tokens and flops, the missing one from 6 N D.

    A budget is what was planned, not what ran: it stands in for FLOPs only where those of N and D
    can't.

    Raises:  TableError: fewer than two of the three, or no loss.
    """
    lacking = "n_params" not in frame or "n_tokens" not in frame
    if "flops" not in frame and "flops_budget" in frame and lacking:
        frame = frame.assign(flops=frame["flops_budget"])
    given = [name for name in QUANTITIES if name in frame]
    if len(given) < 2 or "loss" not in frame:
        missing = [name for name in ("n_params", "n_tokens", "loss") if name not in frame]
        raise TableError(
            f"{source} has no column {', '.join(missing)}; it has: "
            f"{few(headers)}. Name it: "
            f'table.columns={{{missing[0]}: "their name"}}'
        )
    met, d, c = active_params(frame), as_numbers(frame, "n_tokens"), as_numbers(frame, "flops")
    with np.errstate(all="ignore"):
        full = {"n_params": c / (6 * d), "n_tokens": c / (6 * met), "flops": 6 * met * d}
    return frame.assign(**{name: full[name] for name in QUANTITIES if name not in given})


def disagreement(frame: pd.DataFrame) -> tuple[str, ...]:
    """A warning where FLOPs and 6 N D differ by more than a factor of three.

    Where sparsity is all that a table says of its mixtures, its N may count all parameters or the
    active ones, so that FLOPs that agree with either are right.
    """
    d, c = as_numbers(frame, "n_tokens"), as_numbers(frame, "flops")
    n = active_params(frame)
    with np.errstate(all="ignore"):
        ratio = c / (6 * n * d)
        off = _is_off(ratio)
        if "n_params_active" not in frame:
            off &= _is_off(ratio / (1 - np.nan_to_num(as_numbers(frame, "sparsity"))))
    if not off.any():
        return ()
    return (
        f"{int(off.sum())} of {len(frame)} runs have FLOPs more than {MOST_OFF:g} times off 6 N D "
        f"(median ratio {np.median(ratio[off]):.3g}); check the units of n_params, n_tokens and "
        f"flops",
    )


def _is_off(ratio: np.ndarray) -> np.ndarray:
    return (ratio > MOST_OFF) | (ratio < 1 / MOST_OFF)
