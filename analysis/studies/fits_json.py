"""A study as plain JSON: the content of fits.json. Numbers that don't exist are null, never NaN."""

import dataclasses
import math
from typing import Any

import numpy as np

from analysis.studies.allocation import AllocationRow
from analysis.studies.fit_config import APPROACHES
from analysis.studies.study import Study

RANGES = ("n_params", "n_tokens", "flops")


def fits_json(study: Study, advice: list[AllocationRow]) -> dict[str, Any]:
    """The study's fits under the names of the design; JSON values only."""
    return plain({
        "counting": study.runs.counting,
        "procedure": study.config.name,
        "cost": {"k": study.runs.cost.k, "gamma": study.runs.cost.gamma},
        "sources": study.table.sources,
        "n_runs": len(study.runs),
        "fitted": {name: fitted_range(study, name) for name in RANGES},
        "preferred_approach": study.preferred.name if study.preferred else None,
        "excluded": [dataclasses.asdict(row) for row in study.table.excluded],
        "warnings": study.table.warnings,
        "n_resamples": study.n_resamples,
        "resample": study.config.resample,
        "missing": study.missing,
        **{name: _approach(study, name) for name in APPROACHES},
        "repeated": _approach(study, "repeated"),
        "holdout": dataclasses.asdict(study.holdout) if study.holdout else None,
        "countings": [dataclasses.asdict(row) for row in study.countings],
        "allocation": [row.to_json() for row in advice],
    })  # fmt: skip


def fitted_range(study: Study, name: str) -> tuple[float, float]:
    """Least and largest of a quantity among the fitted runs."""
    values = getattr(study.runs, name)
    return float(values.min()), float(values.max())


def plain(value: Any) -> Any:
    """JSON values from numpy's and Python's: arrays to lists, numbers that are not finite to
    null.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _approach(study: Study, name: str) -> dict[str, Any] | None:
    fit = study.fits.get(name)
    return _missing(study, name) if fit is None else fit.to_json()


def _missing(study: Study, approach: str) -> dict[str, Any] | None:
    """An approach that was asked for and could not be fitted, with why; None when not asked for."""
    if approach not in study.missing:
        return None
    return {"status": "degenerate", "reason": study.missing[approach], "intervals": {}}
