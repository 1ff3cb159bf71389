import numpy as np
import pytest

from analysis.data.recipes import find_recipes


def cells(*rows):
    return np.array(rows, dtype=float)


def test_grids_that_share_cells_are_recipes_in_the_order_given():
    grid = np.array(["slow", "fast", "slow", "fast"])
    made = find_recipes(
        grid, cells((1, 10, 0), (1, 10, 0), (2, 10, 0), (2, 10, 0)), np.array([3.0, 2.0, 4.0, 3.0])
    )
    assert made is not None
    assert made.names == ("slow", "fast")
    assert made.best == "fast"
    assert made.excess == pytest.approx((np.log(3 / 2 * 4 / 3) / 2, 0.0))


def test_only_shared_cells_are_compared():
    """A recipe is not worse for having trained a cell of high loss that the other left out."""
    grid = np.array(["a", "b", "b"])
    made = find_recipes(grid, cells((1, 10, 0), (1, 10, 0), (9, 10, 0)), np.array([2.0, 1.9, 50.0]))
    assert made is not None
    assert made.best == "b"


@pytest.mark.parametrize(
    "rows",
    [
        [(1, 10, 0), (1, 20, 0)],  # other budgets: two parts of one design
        [(1, 10, 0), (1, 10, 1)],  # other seeds
        [(1, 10, 0), (2, 10, 0)],  # other sizes
        [(1, np.nan, 0), (1, np.nan, 0)],  # no budgets
    ],
)
def test_parts_of_one_design_are_no_recipes(rows):
    assert find_recipes(np.array(["a", "b"]), cells(*rows), np.array([2.0, 3.0])) is None


def test_a_grid_beside_the_recipes_is_none_of_them():
    grid = np.array(["a", "b", "more"])
    made = find_recipes(grid, cells((1, 1, 0), (1, 1, 0), (1, 9, 0)), np.array([2.0, 3.0, 1.0]))
    assert made is not None
    assert made.names == ("a", "b")


def test_a_recipe_that_was_tuned_more_widely_is_no_worse_for_it():
    grid = np.array(["few", "few", "many", "many", "many"])
    losses = np.array([2.0, 2.1, 1.9, 2.5, 9.0])
    made = find_recipes(grid, cells(*[(1, 10, 0)] * 5), losses)
    assert made is not None
    assert made.best == "many"
    assert made.excess == pytest.approx((np.log(2.0 / 1.9), 0.0))
