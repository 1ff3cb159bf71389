"""A study as plain JSON: the content of fits.json. Numbers that don't exist are null, never NaN."""

import dataclasses
import math
from typing import Any

import numpy as np

from analysis.fits.surface import PARAMETERS, Surface
from analysis.stats.power_law import PowerLaw
from analysis.studies.allocation import Advice, preferred
from analysis.studies.study import Study

RANGES = ("n_params", "n_tokens", "flops")


def fits_json(study: Study, advice: list[Advice]) -> dict[str, Any]:
    """The study's fits under the names of the design; JSON values only."""
    return plain({
        "counting": study.runs.counting,
        "procedure": study.config.name,
        "cost": {"k": study.runs.cost.k, "gamma": study.runs.cost.gamma},
        "sources": study.table.sources,
        "n_runs": len(study.runs),
        "fitted": {name: fitted_range(study, name) for name in RANGES},
        "decision": preferred(study),
        "excluded": [dataclasses.asdict(row) for row in study.table.excluded],
        "warnings": study.table.warnings,
        "n_resamples": study.n_resamples,
        "resample": study.config.resample,
        "missing": study.missing,
        "envelope": _envelope(study),
        "isoflop": _isoflop(study),
        "parametric": _parametric(study),
        "kaplan": _kaplan(study),
        "repeated": _repeated(study),
        "holdout": dataclasses.asdict(study.holdout) if study.holdout else None,
        "countings": [dataclasses.asdict(row) for row in study.countings],
        "allocation": [dataclasses.asdict(row) for row in advice],
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


def _envelope(study: Study) -> dict[str, Any] | None:
    fit = study.envelope
    if fit is None:
        return _missing(study, "envelope")
    return {
        "a": fit.a,
        "b": fit.b,
        "intervals": study.intervals.get("envelope", {}),
        "status": fit.status,
        "reason": fit.reason,
        "method": fit.method,
        "n_points": len(fit.flops),
        **_laws(fit.n_law, fit.d_law),
        "loss_law": _loss_law(study, "envelope"),
    }


def _isoflop(study: Study) -> dict[str, Any] | None:
    fit = study.isoflop
    if fit is None:
        return _missing(study, "isoflop")
    return {
        "a": fit.a,
        "b": fit.b,
        "intervals": study.intervals.get("isoflop", {}),
        "status": fit.status,
        "reason": fit.reason,
        "curve": fit.valleys[0].curve,
        "noise": fit.noise,
        "budgets": [
            {
                "flops": valley.flops,
                "n_opt": valley.n_opt,
                "n_opt_interval": valley.interval,
                "d_opt": valley.d_opt,
                "loss": valley.loss,
                "bracketed": valley.bracketed,
                "reason": valley.reason,
                "thin": valley.thin,
                "propose_n_params": valley.propose,
                "n_runs": len(valley.losses),
            }
            for valley in fit.valleys
        ],
        **_laws(fit.n_law, fit.d_law),
        "loss_law": _loss_law(study, "isoflop"),
    }


def _loss_law(study: Study, approach: str) -> dict[str, Any]:
    """L = E + k C^-g through an approach's least losses, or why there is none."""
    law = study.loss_laws.get(approach)
    if law is None:
        return {"status": "degenerate", "reason": study.missing.get(f"{approach} loss", "")}
    return {
        **{name: getattr(law, name) for name in ("E", "k", "g", "n_points", "status", "reason")},
        "intervals": study.intervals.get(f"{approach} loss", {}),
    }


def _parametric(study: Study) -> dict[str, Any] | None:
    fit = study.parametric
    if fit is None:
        return _missing(study, "parametric")
    return {
        **{name: getattr(fit, name) for name in ("E", "A", "B", "alpha", "beta", "a", "b", "G")},
        "objective": fit.objective,
        "gradient_norm": fit.gradient_norm,
        "objective_is": fit.problem.description,
        "residual": fit.problem.residual,
        "tied": fit.problem.tied,
        "delta": fit.problem.delta,
        "reduction": fit.problem.reduction,
        "above": fit.problem.above,
        "fixed": fit.problem.fixed,
        "n_basins": fit.n_basins,
        "condition": fit.condition,
        "intervals": study.intervals.get("parametric", {}),
        "intervals_profile": {name: p.interval for name, p in study.profiles.items()},
        "flat": [name for name, p in study.profiles.items() if p.flat],
        "standard_errors": standard_errors(study.draws) if study.draws is not None else {},
        "status": fit.status,
        "reason": fit.reason,
    }


def _kaplan(study: Study) -> dict[str, Any] | None:
    if study.kaplan is None:
        return _missing(study, "kaplan")
    joint = study.kaplan.joint
    names = ("N_c", "D_c", "alpha_N", "alpha_D", "a", "b", "rms", "status")
    return {
        **{name: getattr(joint, name) for name in names},
        "intervals": study.intervals.get("kaplan", {}),
        "frontier": {
            f"L({name})": {
                "coefficient": law.coefficient,
                "exponent": law.exponent,
                "interval": law.interval(),
                "n_points": law.n_points,
            }
            for name, law in study.kaplan.frontier.items()
        },
        "reasons": study.kaplan.reasons,
    }


def _repeated(study: Study) -> dict[str, Any] | None:
    fit = study.repeated
    if fit is None:
        return _missing(study, "repeated")
    names = ("R_D", "R_N", "rms", "n_repeated", "most_epochs", "status", "reason")
    surface = {name: getattr(fit.surface, name) for name in PARAMETERS}
    return {**surface, **{name: getattr(fit, name) for name in names}}


def standard_errors(draws: Surface) -> dict[str, float]:
    """Standard deviations of the bootstrap's draws."""
    names = (*PARAMETERS, "a")
    return {name: float(np.std(np.asarray(getattr(draws, name)))) for name in names}


def _laws(n_law: PowerLaw | None, d_law: PowerLaw | None) -> dict[str, Any]:
    return {
        "n_coefficient": n_law.coefficient if n_law else None,
        "d_coefficient": d_law.coefficient if d_law else None,
    }


def _missing(study: Study, approach: str) -> dict[str, Any] | None:
    """An approach that was asked for and could not be fitted, with why; None when not asked for."""
    if approach not in study.missing:
        return None
    return {"status": "degenerate", "reason": study.missing[approach], "intervals": {}}
