"""Isoflop in Python: `from isoflop import read_runs, fit_parametric, predict, ...`.

The package sits above all others and may import any of them; each name is imported when it is first
used, so that `import isoflop` takes no time and no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.data.loss_table import LossTable
    from analysis.fits.surface import Allocation, Surface
    from analysis.stored_fits import read_fits
    from analysis.studies.curves.study import CurveStudy
    from analysis.studies.multiplier.multiplier import ComputeMultiplier
    from analysis.studies.tuning.study import TuningStudy
    from isoflop.comparisons import compute_multiplier
    from isoflop.curves import fit_curves
    from isoflop.laws import (
        Prediction,
        allocate,
        fit_envelope,
        fit_isoflop,
        fit_kaplan,
        fit_parametric,
        predict,
        read_runs,
    )
    from isoflop.questions import (
        cheapest_to_serve,
        compare_forms,
        fit_optima,
        predict_accuracy,
        size_price,
    )
    from isoflop.runs import evaluate, plan, train
    from isoflop.sparsity import fit_sparsity
    from isoflop.tuning import fit_tuning
    from train.config.spec import (
        DataSpec,
        HorizonSpec,
        IsoflopError,
        ModelSpec,
        OptimSpec,
        RunSpec,
        ScheduleSpec,
        SourceSpec,
        TokenizerSpec,
    )

__version__ = "0.2.0"

__all__ = [
    "Allocation",
    "ComputeMultiplier",
    "CurveStudy",
    "DataSpec",
    "HorizonSpec",
    "IsoflopError",
    "LossTable",
    "ModelSpec",
    "OptimSpec",
    "Prediction",
    "RunSpec",
    "ScheduleSpec",
    "SourceSpec",
    "Surface",
    "TokenizerSpec",
    "TuningStudy",
    "__version__",
    "allocate",
    "cheapest_to_serve",
    "compare_forms",
    "compute_multiplier",
    "evaluate",
    "fit_curves",
    "fit_envelope",
    "fit_isoflop",
    "fit_kaplan",
    "fit_optima",
    "fit_parametric",
    "fit_sparsity",
    "fit_tuning",
    "plan",
    "predict",
    "predict_accuracy",
    "read_fits",
    "read_runs",
    "size_price",
    "train",
]

_SPEC = "train.config.spec"
_HOMES = {
    "Allocation": "analysis.fits.surface",
    "ComputeMultiplier": "analysis.studies.multiplier.multiplier",
    "CurveStudy": "analysis.studies.curves.study",
    "compute_multiplier": "isoflop.comparisons",
    "TuningStudy": "analysis.studies.tuning.study",
    "fit_curves": "isoflop.curves",
    "fit_sparsity": "isoflop.sparsity",
    "fit_tuning": "isoflop.tuning",
    "LossTable": "analysis.data.loss_table",
    "Surface": "analysis.fits.surface",
    **dict.fromkeys(("cheapest_to_serve", "compare_forms"), "isoflop.questions"),
    **dict.fromkeys(("fit_optima", "predict_accuracy", "size_price"), "isoflop.questions"),
    "evaluate": "isoflop.runs",
    "plan": "isoflop.runs",
    "read_fits": "analysis.stored_fits",
    "train": "isoflop.runs",
    **dict.fromkeys(("DataSpec", "HorizonSpec", "IsoflopError", "ModelSpec", "OptimSpec"), _SPEC),
    **dict.fromkeys(("RunSpec", "ScheduleSpec", "SourceSpec", "TokenizerSpec"), _SPEC),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"isoflop has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES.get(name, "isoflop.laws")), name)


def __dir__() -> list[str]:
    return __all__
