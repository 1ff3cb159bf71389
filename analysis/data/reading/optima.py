"""Tables of optima: budgets with the N and D that were best, and the loss there if it is known."""

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.data.reading.columns import as_quantity
from analysis.data.reading.formats import read_cells
from analysis.data.table_error import TableError

HEADERS = {
    "flops": ("flops", "c", "budget", "compute", "flops_budget", "compute_budget"),
    "n_opt": ("n_opt", "n_params", "n", "params", "parameters"),
    "d_opt": ("d_opt", "n_tokens", "d", "tokens"),
    "loss": ("loss", "l", "final_loss"),
}


def read_optima(path: Path) -> dict[str, np.ndarray]:
    """FLOPs, n_opt, d_opt and loss of each optimum, (optima,) each; the loss NaN where it is not.

    Two of C, N and D are enough; the third follows from C = 6 N D.

    Raises:
        TableError: Fewer than two of them, or a value that is not positive and finite.
    """
    frame = read_cells(path).frame
    found = {}
    for name, headers in HEADERS.items():
        own = [column for column in frame.columns if str(column).strip().lower() in headers]
        if own:
            values = as_quantity(pd.Series(frame[own[0]]), ".").tolist()
            numbers = [v if isinstance(v, int | float) else np.nan for v in values]
            found[name] = np.array(numbers, dtype=float)
    if len(found.keys() - {"loss"}) < 2:
        raise TableError(
            f"{path.name}: a table of optima needs two of flops, n_opt and d_opt; got "
            f"{', '.join(map(str, frame.columns[:8]))}"
        )
    found.setdefault("loss", np.full(len(frame), np.nan))
    if "flops" not in found:
        found["flops"] = 6 * found["n_opt"] * found["d_opt"]
    for name, other in (("n_opt", "d_opt"), ("d_opt", "n_opt")):
        if name not in found:
            found[name] = found["flops"] / (6 * found[other])
    for name in ("flops", "n_opt", "d_opt"):
        bad = np.flatnonzero(~(np.isfinite(found[name]) & (found[name] > 0)))
        if len(bad):
            raise TableError(
                f"{path.name}: row {bad[0] + 1} has {name}={found[name][bad[0]]}; expected "
                f"positive finite numbers"
            )
    return found
