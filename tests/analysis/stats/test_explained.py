import numpy as np
import pytest

from analysis.stats.explained import explaining_column

RNG = np.random.default_rng(0)
CORPORA = np.repeat(["web", "code", "books"], [40, 30, 30])
OFFSETS = {"web": 0.0, "code": -0.2, "books": 0.1}
MIXED = np.array([OFFSETS[c] for c in CORPORA]) + RNG.normal(0, 0.01, 100)


def test_a_column_that_separates_the_residuals_is_named_with_its_share():
    columns = {"family": ["llama", "gpt"] * 50, "dataset": list(CORPORA)}
    found = explaining_column(columns, MIXED)
    assert found is not None
    assert found.column == "dataset"
    assert found.share == pytest.approx(1 - 0.01**2 / np.var(MIXED), abs=0.002)
    assert found.values[0] == "web"
    assert dict(zip(found.values, found.offsets, strict=True)) == pytest.approx(OFFSETS, abs=0.01)
    assert found.sentence("fit.data=web") == (
        "dataset explains 99 % of the residuals, so its values are kinds of runs that no one law "
        "describes; fit.data=web fits one of them, fit.by=dataset each apart"
    )
    assert "; fit.where='dataset == \"web\"' fits one" in found.sentence()


def test_the_share_that_seeds_leave_is_not_explained():
    noisy = MIXED + RNG.normal(0, np.std(MIXED) * 0.6, 100)
    found = explaining_column({"dataset": list(CORPORA)}, noisy)
    assert found is not None
    assert found.share == pytest.approx(1 / 1.36, abs=0.1)


def test_columns_of_no_meaning_are_not_named():
    """Twenty random columns over a hundred tables: none may be named by chance."""
    for _ in range(100):
        columns = {f"c{i}": list(RNG.choice(["a", "b", "c", "d"], 30)) for i in range(20)}
        assert explaining_column(columns, RNG.normal(0, 1, 30)) is None


def test_names_of_runs_and_constants_explain_nothing():
    columns = {"name": [f"run-{i}" for i in range(100)], "source": ["mine"] * 100,
               "one apart": ["x"] + ["y"] * 99}  # fmt: skip
    assert explaining_column(columns, MIXED) is None
    assert explaining_column({"dataset": list(CORPORA)}, np.zeros(100)) is None
    assert explaining_column({}, MIXED) is None


def test_residuals_that_are_not_finite_are_left_out():
    holes = np.where(np.arange(100) % 7 == 0, np.nan, MIXED)
    found = explaining_column({"dataset": list(CORPORA)}, holes)
    assert found is not None and found.column == "dataset"
