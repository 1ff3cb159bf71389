from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.data.counting import count, distinct, needed_columns
from analysis.errors import FitError
from train.config.flops import count_params, flops_per_token_6nd
from train.config.spec import ModelSpec


def columns():
    n_params, n_tokens = np.array([1e4, 1e5, 1e4, 1e5]), np.array([1e7, 1e6, 1e8, 1e7])
    return {
        "n_params": n_params,
        "n_params_total": 2 * n_params,
        "n_params_non_embedding": 0.5 * n_params,
        "n_tokens": n_tokens,
        "flops": 8 * n_params * n_tokens,
        "flops_chinchilla": 9 * n_params * n_tokens,
        "loss": np.array([3.0, 3.1, 2.5, 2.4]),
        "budget": np.array([8e11, 8e11, np.nan, 8e12]),
    }


@pytest.mark.parametrize(
    ("counting", "size", "flops", "k"),
    [
        ("exact", 1, 8, 8),
        ("6nd", 2, 12, 6),
        ("non_embedding", 0.5, 3, 6),
        ("chinchilla", 2, 9, 4.5),
    ],
)
def test_every_convention_recomputes_n_c_and_the_cost_law(counting, size, flops, k):
    given = columns()
    runs = count(given, counting)
    assert runs.n_params == pytest.approx(size * given["n_params"])
    assert runs.flops == pytest.approx(flops * given["n_params"] * given["n_tokens"])
    assert (runs.cost.k, runs.cost.gamma) == pytest.approx((k, 1.0))


def test_a_budget_is_the_median_of_its_runs_under_the_convention():
    runs = count(columns(), "non_embedding")
    assert runs.budget[:2] == pytest.approx([3e11, 3e11])
    assert np.isnan(runs.budget[2])


def test_6nd_takes_n_params_where_no_total_is_known():
    given = columns()
    del given["n_params_total"]
    assert count(given, "6nd").n_params == pytest.approx(given["n_params"])


def test_missing_columns_and_unknown_conventions_are_named():
    given = columns()
    del given["n_params_non_embedding"]
    with pytest.raises(FitError, match="needs n_params_non_embedding"):
        count(given, "non_embedding")
    with pytest.raises(FitError, match="unknown"):
        needed_columns("7nd")


def test_of_mixtures_n_may_be_what_a_token_meets():
    columns = {
        "n_params": np.array([100.0, 200.0]),
        "n_params_active": np.array([40.0, np.nan]),
        "n_tokens": np.array([1e3, 2e3]),
        "flops": np.array([6e5, 3e6]),
        "loss": np.array([3.0, 2.0]),
        "budget": np.full(2, np.nan),
    }
    assert count(columns, "active").n_params == pytest.approx([40, 200])
    assert count(columns, "exact").n_params == pytest.approx([100, 200])
    mixed = pd.DataFrame(columns)
    assert "active" in distinct(mixed)
    assert "active" not in distinct(mixed.assign(n_params_active=mixed["n_params"]))
    assert "active" not in distinct(mixed.drop(columns="n_params_active"))


@pytest.mark.parametrize("counting", ["6nd", "non_embedding"])
def test_six_nd_of_mixtures_is_of_what_a_token_meets_as_their_records_have_it(counting):
    spec = replace(
        ModelSpec(family="mixtral", n_experts=8, experts_per_token=2),
        **{"d_model": 32, "n_layers": 2, "n_heads": 2, "d_ff": 64, "vocab_size": 256},
    )
    counts = count_params(spec)
    columns = {
        "n_params": np.array([counts.n_params]),
        "n_params_active": np.array([counts.n_params_active]),
        "n_params_total": np.array([counts.n_params_total]),
        "n_params_non_embedding": np.array([counts.n_params_non_embedding]),
        "n_tokens": np.array([1e6]),
        "loss": np.array([3.0]),
        "budget": np.array([np.nan]),
    }
    met = 1e6 * flops_per_token_6nd(spec)
    if counting == "non_embedding":
        met -= 6e6 * (counts.n_params_total - counts.n_params_non_embedding)
    assert count(columns, counting).flops == pytest.approx([met])
