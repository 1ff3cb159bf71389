"""Tables as their authors published them are read as what they are, without any setting."""

import os
from pathlib import Path

import numpy as np
import pytest

from analysis.data.loss_table import TableError, select
from analysis.data.readers import read_file
from analysis.data.reading.columns import label_columns
from analysis.fits.parametric.fit import fit_parametric
from analysis.stats.explained import explaining_column

PUBLISHED = Path(
    os.environ.get("ISOFLOP_PUBLISHED", Path(__file__).parents[4] / "shared/published")
)


def published(name: str) -> Path:
    path = PUBLISHED / name
    if not path.exists():
        pytest.skip(f"{path} is absent; set ISOFLOP_PUBLISHED to the folder of published tables")
    return path


RUNS = {
    "cs336_isoflops_curves.json": (72, 0, 9),
    "datablations.csv": (296, 0, 0),
    "gemstones_hot.csv": (22, 1100, 0),
    "hoffmann2022_figure4.csv": (245, 0, 0),
    "marin_202603_isoflops.csv": (258, 0, 8),
    "olmo_ladder_final.csv": (32, 0, 0),
    "porian2024_refinedweb_0.csv": (107, 0, 11),
    "porian2024_refinedweb_1.csv": (131, 0, 12),
    "porian2024_refinedweb_2.csv": (132, 0, 12),
    "porian2024_refinedweb_3.csv": (88, 0, 12),
    "porian2024_refinedweb_4.csv": (121, 0, 12),
    "steplaw_dense_lr_bs_loss.csv": (1911, 0, 0),
}
"""Runs, points of training curves and budgets of each file."""


@pytest.mark.parametrize("name", RUNS)
def test_runs_curves_and_budgets(name):
    n_runs, n_points, n_budgets = RUNS[name]
    table = read_file(published(name))
    budget = table.numbers("flops_budget")
    assert (len(table), len(table.curves)) == (n_runs, n_points)
    assert len(np.unique(budget[np.isfinite(budget)])) == n_budgets
    assert table.warnings == ()
    assert table.understood[0].startswith(f"read {n_runs} runs")


@pytest.mark.parametrize(
    "name",
    ["obsscaling_benchmarks.csv", "obsscaling_emergent_capability.csv",
     "pythia_zero_shot_final.csv", "multipowerlaw_csv_100/cosine_24000.csv"],
)  # fmt: skip
def test_tables_of_other_things_are_refused_by_what_they_lack(name):
    with pytest.raises(TableError, match=r"has no column .*; it has: "):
        read_file(published(name))


def test_step_law_is_seventeen_tuned_cells():
    table = select(read_file(published("steplaw_dense_lr_bs_loss.csv")))
    assert len(table) == 17
    assert "swept over lr, bs (47 to 120 runs each)" in table.warnings[0]
    n, d, loss = (table.numbers(name) for name in ("n_params", "n_tokens", "loss"))
    fit = fit_parametric(n, d, loss)
    assert fit.a == pytest.approx(0.689, abs=5e-4)
    assert pytest.approx(0.91, abs=5e-3) == fit.E


@pytest.mark.parametrize(
    "name", [name for name in RUNS if not name.startswith(("steplaw", "datablations"))]
)
def test_no_other_table_is_taken_for_a_sweep_or_for_repeated_data(name):
    table = read_file(published(name))
    chosen = select(table, max_epochs=4)
    assert all("trained on" in row.reason for row in chosen.excluded)


def test_datablations_decides_by_data_that_was_not_worn_out():
    """RunArrays as new, all 296 runs give a = .68 and 1.4 tokens per parameter."""
    table = select(read_file(published("datablations.csv")), max_epochs=4)
    assert (len(table), len(table.repeating)) == (97, 199)
    n, d, loss = (table.numbers(name) for name in ("n_params", "n_tokens", "loss"))
    assert fit_parametric(n, d, loss).a == pytest.approx(0.53, abs=0.02)


@pytest.mark.parametrize(("data", "a"), [("comma", 0.345), ("dclm", 0.371), ("nemotron", 0.385)])
def test_each_corpus_of_marin_is_fitted_alone(data, a):
    table = select(read_file(published("marin_202603_isoflops.csv")), data=data)
    n, d, loss = (table.numbers(name) for name in ("n_params", "n_tokens", "loss"))
    assert fit_parametric(n, d, loss).a == pytest.approx(a, abs=2e-3)


def test_the_corpora_of_marin_explain_what_one_law_leaves():
    table = read_file(published("marin_202603_isoflops.csv"))
    n, d, loss = (table.numbers(name) for name in ("n_params", "n_tokens", "loss"))
    residuals = np.log(loss / fit_parametric(n, d, loss).surface.loss(n, d))
    found = explaining_column(label_columns(table.runs), residuals)
    assert found is not None
    assert found.column == "dataset"
    assert found.share > 0.8
    alone = select(table, data="comma")
    n, d, loss = (alone.numbers(name) for name in ("n_params", "n_tokens", "loss"))
    residuals = np.log(loss / fit_parametric(n, d, loss).surface.loss(n, d))
    assert explaining_column(label_columns(alone.runs), residuals) is None
