"""The report's section on recipes: the exponents that each way of training leads to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.recipes import forest, profiles
from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.stats.resampling import Interval
from analysis.studies.recipes import HEADLESS, RecipeFit, RecipeStudy
from train.rundir.atomic import read_jsonl
from train.rundir.sweep_layout import SweepPaths

TITLE = "Recipes side by side"

PUBLISHED = {
    ("kaplan", HEADLESS): 0.835,
    ("kaplan", "exact"): 0.706,
    ("short_warmup", "exact"): 0.602,
    ("matched_schedule", "exact"): 0.571,
    ("chinchilla", "exact"): 0.497,
}
"""Exponents a of Porian et al. 2024, figure 1 (RefinedWeb), for each step of
preset=kaplan_vs_chinchilla; their last one has no decay.
"""


def recipe_section(study: RecipeStudy) -> Section:
    """What the recipes are, their exponents, and their profiles."""
    return Section(
        TITLE,
        [conclusion(study), _about(study), *_remarks(study)],
        _figures(study),
        [_exponents(study), _settings(study)],
    )


def conclusion(study: RecipeStudy) -> str:
    """The first and the last recipe's exponents under the report's convention, in words."""
    counted = [fit for fit in study.fits if fit.counting != HEADLESS] or list(study.fits)
    without = [
        f"{fit.label} {number(_exponent(fit)[0])} ({span(_exponent(fit)[1])})"
        for fit in study.fits
        if fit not in counted
    ]
    return " ".join([_ends(counted[0], counted[-1]), *[f"{said}." for said in without]])


def _ends(first: RecipeFit, last: RecipeFit) -> str:
    missing = [fit.label for fit in (first, last) if not np.isfinite(_exponent(fit)[0])]
    if missing:
        return (
            f"Recipes: no exponent by approach 2 for {' and '.join(missing)}, so the two ends "
            f"don't compare."
        )
    (a, low), (b, high) = _exponent(first), _exponent(last)
    text = (
        f"Recipes: the exponent a of N_opt goes from {number(a)} ({span(low)}) under {first.label} "
        f"to {number(b)} ({span(high)}) under {last.label}"
    )
    if low is None or high is None or not np.isfinite([*low, *high]).all():
        return f"{text}."
    apart = low[0] > high[1] or high[0] > low[1]
    return f"{text}; the 95 % intervals {'lie apart' if apart else 'overlap'}."


def planned_order(sources: Sequence[str]) -> list[str]:
    """Grids in the order of the sweeps' plans, each once; none for tables that have no plan."""
    plans = [plan for source in sources if (plan := SweepPaths(Path(source)).plan).is_file()]
    grids = [str(row.get("grid")) for path in plans for row in read_jsonl(path)]
    return list(dict.fromkeys(grids))


def printed(study: RecipeStudy) -> list[str]:
    """One line a recipe for the terminal, then the conclusion."""
    lines = []
    for fit in study.fits:
        a, interval = _exponent(fit)
        surface = fit.parametric.a if fit.parametric is not None else float("nan")
        lines.append(
            f"recipe {fit.label:28} isoflop a {number(a)} [{span(interval)}]  parametric a "
            f"{number(surface)} [{span(_surface_interval(fit))}]"
        )
    return [*lines, conclusion(study)]


def recipes_json(study: RecipeStudy) -> dict[str, Any]:
    """The content of recipes.json; non-finite numbers are left to `results.plain`."""
    return {
        "fitted": study.recipes.best,
        "excess_log_loss": dict(zip(study.recipes.names, study.recipes.excess, strict=True)),
        "settings": study.settings,
        "recipes": [_fit_json(fit) for fit in study.fits],
    }


def _about(study: RecipeStudy) -> str:
    known = dict(zip(study.recipes.names, study.recipes.excess, strict=True))
    excess = [f"{name} {number(100 * known[name], 2)} %" for name in study.settings]
    return (
        f"{len(study.recipes.names)} grids of this sweep train the same sizes at the same budgets "
        f"in different ways, so that each has a surface of its own. Mean loss above the best "
        f"recipe of each cell: {', '.join(excess)}."
    )


def _remarks(study: RecipeStudy) -> list[str]:
    made = []
    headless = [fit for fit in study.fits if fit.counting == HEADLESS]
    if headless and len(headless) < len(study.fits):
        read = "; ".join(f"{fit.recipe}: {fit.note}" for fit in headless)
        made.append(
            "Without the head, as Kaplan et al. counted, runs of one budget no longer cost the "
            "same. Where neither rate nor batch depends on D, a run's curve tells what shorter "
            f"runs reach, and losses at equal 6 N D are read off it ({read}). The other recipes "
            "can't be recounted so."
        )
    if any(value is not None for value in _published(study)):
        made.append(
            "Porian et al. 2024 corrected Kaplan et al.'s setting in these steps, at 5M to 901M "
            "parameters, and their last one without decay; their exponents stand beside these."
        )
    return made


def _figures(study: RecipeStudy) -> list[FigureSpec]:
    fits, published = study.fits, _published(study)
    shown = ", ".join(f"{fit.label} {number(_exponent(fit)[0])}" for fit in fits)
    return [
        FigureSpec(
            "recipes",
            forest(fits, published),
            f"Exponents of N_opt by approach 2, from top to bottom: {shown}.",
            "Exponents with 95 % intervals, in the order of the plan.",
        ),
        FigureSpec(
            "recipe_profiles",
            profiles(fits),
            "IsoFLOP profiles of each recipe in panels of one scale of losses.",
            "Profiles of each recipe, minima as diamonds where runs on both sides hold them.",
        ),
    ]


def _exponents(study: RecipeStudy) -> TableSpec:
    published = _published(study)
    rows = []
    for fit, known in zip(study.fits, published, strict=True):
        a, interval = _exponent(fit)
        surface = fit.parametric
        rows.append([
            fit.label,
            number(a),
            span(interval),
            number(surface.a) if surface is not None else "–",
            span(_surface_interval(fit)),
            *([number(known) if known is not None else "–"] if any(published) else []),
            _minima(fit),
            _why(fit),
        ])  # fmt: skip
    columns = ["recipe", "a, approach 2", "95 %", "a, approach 3", "95 %"]
    columns += ["Porian et al."] if any(published) else []
    return TableSpec("Exponents of N_opt", [*columns, "N_opt by budget", "remarks"], rows)


def _minima(fit: RecipeFit) -> str:
    if fit.isoflop is None:
        return "–"
    return ", ".join(
        count_label(profile.n_opt) if profile.bracketed else "–"
        for profile in fit.isoflop.fit.profiles
    )


def _why(fit: RecipeFit) -> str:
    """Everything that keeps an exponent from being what it could be."""
    reasons = [f"{name}: {reason}" for name, reason in fit.reasons.items()]
    for profile in fit.isoflop.fit.profiles if fit.isoflop else ():
        if not profile.bracketed:
            reasons.append(f"{number(profile.flops)} FLOPs: {profile.reason}")
    if fit.parametric is not None and fit.parametric.status != "converged":
        reasons.append(f"approach 3 {fit.parametric.status}: {fit.parametric.reason}")
    return "; ".join(reasons) or "–"


def _settings(study: RecipeStudy) -> TableSpec:
    rows = []
    for name, own in study.settings.items():
        planned = own["horizon_tokens"]
        rows.append([
            name,
            _spread(own["lr_peak"], number),
            _spread(own["batch_tokens"], count_label),
            _spread(own["warmup_tokens"], count_label),
            _spread(planned, count_label) if np.isfinite(planned).all() else "each run's own D",
        ])  # fmt: skip
    columns = ["recipe", "peak rate", "batch (tokens)", "warm-up (tokens)", "decay planned over"]
    return TableSpec("What differs", columns, rows)


def _spread(ends: tuple[float, float], written: Any) -> str:
    low, high = ends
    if not np.isfinite(low):
        return "–"
    return written(low) if low == high else f"{written(low)} to {written(high)}"


def _exponent(fit: RecipeFit) -> tuple[float, Interval | None]:
    if fit.isoflop is None:
        return float("nan"), None
    return fit.isoflop.a, fit.isoflop.intervals.get("a")


def _surface_interval(fit: RecipeFit) -> Interval | None:
    return None if fit.parametric is None else fit.parametric.intervals.get("a")


def _published(study: RecipeStudy) -> list[float | None]:
    """Porian et al.'s exponent for each step, where the sweep has all of theirs and no other."""
    keys = [(fit.recipe, fit.counting) for fit in study.fits]
    return [PUBLISHED[key] if set(keys) == set(PUBLISHED) else None for key in keys]


def _fit_json(fit: RecipeFit) -> dict[str, Any]:
    law, surface = fit.isoflop, fit.parametric
    return {
        "recipe": fit.recipe,
        "counting": fit.counting,
        "isoflop": law and {
            "a": law.a,
            "interval": law.intervals.get("a"),
            "status": law.status,
            "reason": law.reason,
            "budgets": [
                {"flops": v.flops, "n_opt": v.n_opt, "bracketed": v.bracketed, "reason": v.reason}
                for v in law.fit.profiles
            ],
        },
        "parametric": surface and {
            "a": surface.a,
            "interval": surface.intervals.get("a"),
            "status": surface.status,
            "reason": surface.reason,
        },
        "reasons": fit.reasons,
        "note": fit.note,
    }  # fmt: skip
