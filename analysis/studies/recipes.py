"""Each recipe of a sweep fitted alone, so that their exponents can be read side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.data.cost_law import SIX_ND
from analysis.data.curve_interpolation import counted_budgets, read_curves
from analysis.data.loss_table import LossTable, recipes_of, select
from analysis.data.recipes import Recipes
from analysis.data.run_arrays import FitInput, RunArrays
from analysis.errors import FitErrors
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.study import run_study

HEADLESS = "non_embedding"
"""Kaplan et al.'s count, without the head; each recipe is read under it beside the report's."""

SETTINGS = ("lr_peak", "batch_tokens", "warmup_tokens", "horizon_tokens")
"""Columns of the runs that say what a recipe is."""


@dataclass(frozen=True)
class RecipeFit:
    """One recipe under one counting convention; what could not be fitted is None, with its reason.

    `runs` are what approach 2 was fitted to: runs, named by `run_ids`, or points read off curves,
    which have no names. `note` tells how many of these there are.
    """

    recipe: str
    counting: str
    runs: RunArrays
    run_ids: np.ndarray
    isoflop: IsoflopApproach | None
    parametric: ParametricApproach | None
    reasons: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def label(self) -> str:
        return f"{self.recipe}, head not counted" if self.counting == HEADLESS else self.recipe


@dataclass(frozen=True)
class RecipeStudy:
    """All recipes; `fits` and `settings` are in the order of the plan.

    `settings[recipe][column]` is the range over its runs.
    """

    recipes: Recipes
    fits: tuple[RecipeFit, ...]
    settings: dict[str, dict[str, tuple[float, float]]]


def study_recipes(
    everything: LossTable, config: FitConfig, counting: str, order: Sequence[str] = ()
) -> RecipeStudy | None:
    """Every recipe of the fitted data, and those that can be read without the head also so.

    `order` are names of grids as they were planned, which tables of runs don't keep. None where
    the runs hold no two recipes.
    """
    found = tables_of_recipes(everything, config, order)
    if found is None:
        return None
    recipes, tables = found
    own = replace(config, approaches=["isoflop", "parametric"])
    fits: list[RecipeFit] = []
    settings = {}
    for name, part in tables.items():
        settings[name] = {column: _range(part.numbers(column)) for column in SETTINGS}
        if counting != HEADLESS and one_training(part):
            fits.append(_headless(name, part, own))
        fits.append(_fit(name, part, own, counting))
    return RecipeStudy(recipes, tuple(fits), settings)


def tables_of_recipes(
    everything: LossTable, config: FitConfig, order: Sequence[str] = ()
) -> tuple[Recipes, dict[str, LossTable]] | None:
    """Each recipe's runs, in the order of the plan; of cells that it tuned the best run.

    A recipe that was tuned over more rates is no worse for the bad ones among them. None where the
    runs hold no two recipes.
    """
    recipes = recipes_of(select(everything, config.data, None, config.where, all_recipes=True))
    if recipes is None:
        return None
    return recipes, {
        name: select(everything, config.data, name, config.where, best_of=config.best_of)
        for name in sorted(recipes.names, key=lambda name: _place(name, order))
    }


def _fit(name: str, table: LossTable, config: FitConfig, counting: str) -> RecipeFit:
    study = run_study(table, config, counting)
    return RecipeFit(
        recipe=name,
        counting=counting,
        runs=study.runs,
        run_ids=study.table.texts("run_id"),
        isoflop=study.find(IsoflopApproach),
        parametric=study.find(ParametricApproach),
        reasons=_asked(study.missing, config),
    )


def _headless(name: str, table: LossTable, config: FitConfig) -> RecipeFit:
    """A recipe as Kaplan et al. would have counted it: profiles at equal 6 N D without the head."""
    study = run_study(table, replace(config, approaches=["parametric"]), HEADLESS)
    runs, n_beyond = _read(table, study.runs)
    attempt = FitErrors()
    isoflop = attempt("isoflop", lambda: IsoflopApproach.fitted(FitInput(runs), config))
    return RecipeFit(
        recipe=name,
        counting=HEADLESS,
        runs=runs,
        run_ids=np.array([], dtype=object),
        isoflop=isoflop,
        parametric=study.find(ParametricApproach),
        reasons={**_asked(study.missing, config), **attempt.missing},
        note=f"{len(runs)} points read off curves; {n_beyond} cells lie beyond them",
    )


def _asked(missing: dict[str, str], config: FitConfig) -> dict[str, str]:
    return {name: missing[name] for name in config.approaches if name in missing}


def one_training(table: LossTable) -> bool:
    """Whether the runs of each size are parts of one training: nothing about it depends on D."""
    if not len(table.curves) or "n_params_non_embedding" not in table.runs:
        return False
    if not np.isfinite(table.numbers("horizon_tokens")).all():
        return False
    sizes = table.numbers("n_params")
    for column in SETTINGS:
        values = table.numbers(column)
        if any(len(np.unique(values[sizes == size])) > 1 for size in np.unique(sizes)):
            return False
    return True


def _read(table: LossTable, runs: RunArrays) -> tuple[RunArrays, int]:
    """What the curves say at the budgets that all sizes reached, under the runs' own count."""
    exact = table.numbers("flops_budget")
    curves = table.training_curves(runs)
    budgets = list(counted_budgets(exact, runs.flops).values())
    made = read_curves(curves.n_params, curves.n_tokens, curves.loss, budgets)
    counted = RunArrays(
        counting=HEADLESS,
        n_params=made.n_params,
        n_tokens=made.n_tokens,
        flops=made.budget,
        loss=made.loss,
        budget=made.budget,
        cost=SIX_ND,
    )
    return counted, made.n_beyond


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _range(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    return float(known.min()), float(known.max())
