import numpy as np

from analysis.data.curve_interpolation import counted_budgets, read_curves


def power(n_params, n_tokens):
    return 40 * n_params**-0.2 * n_tokens**-0.1


def test_losses_are_read_at_equal_six_nd():
    sizes, places = np.array([100.0, 1000.0]), np.geomspace(1e3, 1e6, 12)
    n, d = (grid.ravel() for grid in np.meshgrid(sizes, places))
    made = read_curves(n, d, power(n, d), [6e6, 3e8])
    assert np.allclose(made.budget, 6 * made.n_params * made.n_tokens)
    assert np.allclose(made.loss, power(made.n_params, made.n_tokens))
    assert sorted(zip(made.budget, made.n_params, strict=True)) == [
        (6e6, 100.0), (6e6, 1000.0), (3e8, 100.0), (3e8, 1000.0),
    ]  # fmt: skip
    assert made.n_beyond == 0


def test_curves_are_not_extrapolated():
    n, d = np.array([10.0, 10, 20, 20]), np.array([1e3, 1e4, 1e3, 2e3])
    made = read_curves(n, d, power(n, d), [6 * 10 * 1e4, 6 * 10 * 1e2])
    assert made.n_params.tolist() == [10.0]
    assert made.n_beyond == 3


def test_points_of_two_seeds_are_averaged():
    n, d = np.array([10.0, 10, 10, 10]), np.array([1e3, 1e3, 1e4, 1e4])
    made = read_curves(n, d, np.array([4.0, 9.0, 1.0, 1.0]), [6 * 10 * 1e3])
    assert np.allclose(made.loss, 6.0)


def test_a_budget_is_what_each_of_its_runs_reached():
    budget, flops = np.array([10.0, 10, 20, 20]), np.array([3.0, 5.0, 7.0, 6.0])
    assert counted_budgets(budget, flops) == {10.0: 3.0, 20.0: 6.0}
