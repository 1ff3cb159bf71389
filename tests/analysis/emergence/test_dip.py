"""Hartigan's dip against its definition, its p-value, and the seeds that it needs."""

import numpy as np
import pytest
from scipy.optimize import linprog

from analysis.emergence.dip import dip_statistic, dip_test, power, seeds_needed
from analysis.emergence.seeds import study_seeds
from analysis.sections.prose.emergence_kinds import seeds_paragraph


def by_definition(values: np.ndarray) -> float:
    """The least d of a linear program for each place of the mode, which may be an atom.

    Unknown are the heights left of each value, the height at the mode itself, and d.
    """
    x, counts = np.unique(values, return_counts=True)
    after = np.cumsum(counts) / counts.sum()
    before = np.concatenate([[0.0], after[:-1]])
    n = len(x)
    least = 1.0
    for mode in range(n):
        rows, limits = [], []

        def below(coefficients: list[tuple[int, float]], limit: float, rows=rows, limits=limits):
            row = np.zeros(n + 2)
            for i, value in coefficients:
                row[i] += value
            rows.append(row)
            limits.append(limit)

        at = [n if i == mode else i for i in range(n)]
        below([(mode, 1), (n, -1)], 0)
        for i in range(n):
            below([(i, 1), (n + 1, -1)], before[i])
            below([(at[i], -1), (n + 1, -1)], -after[i])
            if i + 1 < n:
                below([(at[i], 1), (i + 1, -1)], 0)
        for i in range(1, n - 1):
            if i == mode:
                continue
            left, right = 1 / (x[i] - x[i - 1]), 1 / (x[i + 1] - x[i])
            side = 1 if i < mode else -1
            start = i - 1 if i < mode else at[i - 1]
            below([(start, -side * left), (i, side * (left + right)), (i + 1, -side * right)], 0)
        cost = np.zeros(n + 2)
        cost[-1] = 1
        least = min(least, linprog(cost, np.array(rows), limits, bounds=(0, 1)).fun)
    return least


@pytest.mark.parametrize("kind", ["uniform", "two modes", "ties"])
def test_it_is_the_distance_from_the_nearest_unimodal_distribution(kind: str) -> None:
    rng = np.random.default_rng(0)
    for n in range(4, 13):
        values = rng.random(n)
        if kind == "two modes":
            values = np.where(values < 0.5, rng.beta(2, 20, n), rng.beta(20, 2, n))
        elif kind == "ties":
            values = np.round(values, 1)
        expected = max(by_definition(values), 1 / (2 * n))
        assert dip_statistic(values) == pytest.approx(expected, abs=1e-6)


def test_known_values() -> None:
    assert dip_statistic([0.3] * 5) == pytest.approx(1 / 10), "the least that n values can have"
    assert dip_statistic(np.arange(20.0)) == pytest.approx(1 / 40)
    halves = [0.0] * 10 + [1.0] * 10
    assert dip_statistic(halves) == pytest.approx(1 / 4, abs=1e-6)
    assert dip_statistic(1 - np.array([0.0, 0.1, 0.15, 0.7, 0.95])) == pytest.approx(
        dip_statistic([0.0, 0.1, 0.15, 0.7, 0.95])
    )


def test_one_mode_passes_and_two_do_not() -> None:
    rng = np.random.default_rng(0)
    n = 20
    passed = [dip_test(1.0, rng.beta(3, 8, n)).p_value for _ in range(60)]
    assert np.mean(np.array(passed) < 0.05) <= 0.05
    split = np.where(np.arange(n) % 2, rng.beta(2, 20, n), rng.beta(20, 2, n))
    assert dip_test(1.0, split).p_value == 0.001


def test_the_seeds_that_it_needs_are_those_that_find_two_clear_modes() -> None:
    needed = seeds_needed()
    assert power(needed) >= 0.8 > power(needed - 1)
    assert power(4) < 0.5


def test_it_is_made_where_a_size_has_the_seeds_and_else_the_report_says_how_many() -> None:
    rng = np.random.default_rng(0)

    def paragraph(n_seeds: int) -> str:
        x = np.repeat([1e3, 1e4, 1e5], n_seeds)
        has = (x > 1e4) | ((x == 1e4) & (np.arange(len(x)) % 2 == 1))
        y = np.where(has, rng.beta(20, 2, len(x)), rng.beta(2, 20, len(x)))
        found = study_seeds("exact_match", x, y, rng, n_simulated=9)
        assert found is not None
        assert [one.n_runs for one in found.dips] == ([n_seeds] * 3 if n_seeds > 8 else [])
        return seeds_paragraph(found)

    assert "It needs 12 of them" in (few := paragraph(4))
    assert "no size has more than 4: not made" in few
    assert "p = 0.001 at 10k" in (enough := paragraph(20))
    assert "more than one mode" in enough
