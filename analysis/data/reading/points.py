"""Tables of N and D to predict the losses of, with measured losses where they are known."""

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.data.reading.columns import as_quantity
from analysis.data.reading.formats import read_cells
from analysis.data.table_error import TableError

HEADERS = {"n_params": ("n_params", "n", "params"), "n_tokens": ("n_tokens", "d", "tokens"),
           "loss": ("loss",)}  # fmt: skip


def read_points(path: Path) -> np.ndarray:
    """N, D and loss of each row, (rows, 3); the loss is NaN where there is none.

    Raises:
        TableError: No column of N or of D, or a value there that is not positive and finite.
    """
    frame = read_cells(path).frame
    found = {}
    for name, headers in HEADERS.items():
        own = [column for column in frame.columns if str(column).strip().lower() in headers]
        if not own and name != "loss":
            raise TableError(
                f"{path.name}: runs to predict need columns n_params and n_tokens; got "
                f"{', '.join(map(str, frame.columns[:8]))}"
            )
        values = (
            as_quantity(pd.Series(frame[own[0]]), ".").tolist() if own else [np.nan] * len(frame)
        )
        found[name] = [value if isinstance(value, int | float) else np.nan for value in values]
    points = np.array([found[name] for name in HEADERS], dtype=float).T
    bad = np.flatnonzero(~(np.isfinite(points[:, :2]) & (points[:, :2] > 0)).all(axis=1))
    if len(bad):
        raise TableError(
            f"{path.name}: row {bad[0] + 1} has n_params={points[bad[0], 0]}, "
            f"n_tokens={points[bad[0], 1]}; expected positive finite numbers"
        )
    return points
