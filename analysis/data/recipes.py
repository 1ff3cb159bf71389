"""Recipes: grids of one sweep that train the same cells in different ways.

Two runs of one size, budget, seed and data in different grids can only differ in how they were
trained (equal specs are one run), so their losses belong to two surfaces, not to one.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Recipes:
    """Names of the recipes in the order that they were given, and each one's excess loss.

    `excess` is the mean of log loss above the best recipe of each cell, over the cells that a
    recipe shares with others, of each recipe's best run there.
    """

    names: tuple[str, ...]
    excess: tuple[float, ...]

    @property
    def best(self) -> str:
        """The recipe whose losses are least."""
        return self.names[int(np.argmin(self.excess))]


def find_recipes(grid: np.ndarray, cells: np.ndarray, loss: np.ndarray) -> Recipes | None:
    """The grids that share cells with one another; None where there are no two of them.

    Args:    grid: name of each run's grid, (runs,); loss: (runs,), > 0. cells: what makes two runs
             comparable, (runs, quantities): size, compute budget, seed. A run with a cell that is
             not finite (no budget) is compared with none.
    """
    rows = np.flatnonzero(np.isfinite(cells).all(axis=1))
    if len(set(grid[rows])) < 2:
        return None
    _, cell = np.unique(cells[rows], axis=0, return_inverse=True)
    names, log_loss = grid[rows], np.log(loss[rows])
    found: dict[str, list[float]] = {}
    for number in np.unique(cell):
        own = cell == number
        if len(set(names[own])) > 1:
            for name in dict.fromkeys(names[own]):
                # The best of the rates and the like that a recipe was tuned over in this cell.
                least = log_loss[own & (names == name)].min()
                found.setdefault(str(name), []).append(float(least - log_loss[own].min()))
    if not found:
        return None
    order = [name for name in dict.fromkeys(map(str, grid)) if name in found]
    return Recipes(tuple(order), tuple(float(np.mean(found[name])) for name in order))
