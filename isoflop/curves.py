"""Whole loss curves in one call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.published.download import published_path
from analysis.data.reading.curve_points import NAMES, table_points
from analysis.errors import FitError
from analysis.studies.curves.study import CurveStudy, curves_of_points, study_curves


def fit_curves(
    points: pd.DataFrame | Mapping[str, Any] | str | Path, fit_to: Sequence[str] = ()
) -> CurveStudy:
    """One law of whole loss curves under their learning-rate schedules.

    Args:
        points: A table, file or published:NAME with one row per point: run (or curve), n_tokens
            (or step), lr, loss, and n_params where sizes differ.
        fit_to: Names of the runs that the law is fitted to; the others it predicts. All if empty.

    Returns:
        The law, and its errors on every curve in `errors`; `objections` say why it may not be
        used.

    Raises:
        FitError: a missing column, an unknown name, or no curve behind a warm-up.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from isoflop import fit_curves
        >>> step = np.arange(100.0, 5001.0, 100.0)
        >>> half = pd.DataFrame({"run": "half", "step": step, "lr": np.linspace(1e-3, 5e-4, 50)})
        >>> full = pd.DataFrame({"run": "full", "step": step, "lr": np.linspace(1e-3, 0.0, 50)})
        >>> points = pd.concat([half, full], ignore_index=True)
        >>> points["loss"] = 2 + 5 * points.step**-0.4 + 200 * points.lr
        >>> made = fit_curves(points, fit_to=["half"])
        >>> [(one.name, one.fitted) for one in made.errors]
        [('half', True), ('full', False)]
    """
    if isinstance(points, str | Path):
        return study_curves(curves_of_points(table_points(published_path(str(points)))), fit_to)
    frame = pd.DataFrame(points)
    found = {ours: next((n for n in names if n in frame), None) for ours, names in NAMES.items()}
    missing = [ours for ours, name in found.items() if name is None and ours != "n_params"]
    if missing:
        raise FitError(
            f"the curves have no column {missing[0]} ({', '.join(NAMES[missing[0]])}); they have "
            f"{', '.join(map(str, frame.columns))}"
        )
    columns = {ours: frame[name] if name else 1.0 for ours, name in found.items()}
    return study_curves(curves_of_points(pd.DataFrame(columns)), fit_to)
