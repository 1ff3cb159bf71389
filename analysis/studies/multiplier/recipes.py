"""What each recipe of a sweep is worth over the first one."""

from collections.abc import Sequence
from dataclasses import replace

from analysis.data.loss_table import LossTable
from analysis.studies.fit_config import FitConfig
from analysis.studies.multiplier.multiplier import APPROACHES, ComputeMultiplier, multipliers
from analysis.studies.recipes import tables_of_recipes
from analysis.studies.study import run_study

RecipeMultipliers = dict[tuple[str, str], list[ComputeMultiplier]]
"""By the names of both recipes, the first of them always the same."""


def recipe_multipliers(
    everything: LossTable, config: FitConfig, counting: str, order: Sequence[str] = ()
) -> RecipeMultipliers:
    """Each recipe's multiplier over the first; empty where the runs hold no two recipes.

    Args:
        everything: The runs before the fit's own selection.
        config: Settings of the fits.
        counting: How compute is counted.
        order: Names of grids as they were planned, which tables of runs do not keep.
    """
    found = tables_of_recipes(everything, config, order)
    if found is None:
        return {}
    own = replace(config, approaches=list(APPROACHES))
    studies = {name: run_study(table, own, counting) for name, table in found[1].items()}
    first, *others = studies
    return {(first, name): multipliers(studies[first], studies[name]) for name in others}
