import json

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import PchipInterpolator

from analysis.__main__ import analyse
from analysis.config import AnalysisConfig
from analysis.data.loss_table import select
from analysis.data.readers import read_sweeps
from analysis.sections.recipes import (
    PUBLISHED,
    conclusion,
    planned_order,
    recipe_section,
    recipes_json,
)
from analysis.studies.fit_config import FitConfig
from analysis.studies.fits_json import plain
from analysis.studies.recipes import one_training, study_recipes
from tests.support.recipe_sweep import HEADLESS, write_recipes
from tests.support.synthetic_sweep import TRUTH, write_sweep

CONFIG = FitConfig(n_resamples=100)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_recipes(tmp_path_factory.mktemp("results") / "recipes")


@pytest.fixture(scope="module")
def table(directory):
    return read_sweeps([directory])


@pytest.fixture(scope="module")
def made(table):
    study = study_recipes(table, CONFIG, "exact")
    assert study is not None
    return study


def test_each_recipe_is_fitted_alone_and_the_recountable_one_twice(made):
    assert [fit.label for fit in made.fits] == [
        "kaplan, head not counted", "kaplan", "chinchilla",
    ]  # fmt: skip


def test_the_exponent_without_the_head_is_the_surfaces_own(made):
    headless = made.fits[0]
    assert headless.isoflop.a == pytest.approx(HEADLESS.a, abs=0.03)
    assert len(headless.isoflop.fit.bracketed) == 3
    assert headless.parametric.a == pytest.approx(HEADLESS.a, abs=0.03)


def test_counting_the_head_lowers_the_exponent(made):
    headless, counted = made.fits[:2]
    assert counted.isoflop.a < headless.isoflop.a - 0.05


def test_the_other_recipes_exponent_is_its_surfaces(made):
    """Attention makes C no power of N, so the optimum is sought along the runs' own cost."""
    fit = made.fits[2]
    budgets = np.unique(fit.runs.budget)
    rows = fit.runs.budget == budgets[0]
    sizes, order = np.unique(fit.runs.n_params[rows], return_index=True)
    per_token = (fit.runs.flops / fit.runs.n_tokens)[rows][order]
    x = np.linspace(np.log(sizes[0]), np.log(sizes[-1]), 20001)
    cost = np.exp(PchipInterpolator(np.log(sizes), np.log(per_token))(x))
    best = [x[np.argmin(TRUTH.loss(np.exp(x), budget / cost))] for budget in budgets]
    true = np.polyfit(np.log(budgets), best, 1)[0]
    assert fit.isoflop.a == pytest.approx(true, abs=0.02)
    low, high = fit.isoflop.intervals["a"]
    assert low < true < high


def test_a_schedule_of_its_own_can_not_be_recounted(table):
    grids = table.texts("grid")
    assert one_training(table.without(grids != "kaplan", "other"))
    assert not one_training(table.without(grids != "chinchilla", "other"))


def test_a_batch_that_follows_d_can_not_be_recounted(table):
    part = table.without(table.texts("grid") != "kaplan", "other")
    batch = part.numbers("n_tokens") / 1000
    changed = part.runs.assign(batch_tokens=batch)
    assert not one_training(type(part)(runs=changed, curves=part.curves))


def test_the_fit_takes_the_recipe_of_least_loss_and_says_so(table):
    chosen = select(table)
    assert set(chosen.texts("grid")) == {"chinchilla"}
    assert {row.reason for row in chosen.excluded} == {
        "of recipe kaplan, this fit is of chinchilla"
    }
    assert any("2 recipes train the same cells" in warning for warning in chosen.warnings)


def test_a_user_may_choose_another(table):
    assert set(select(table, grid="kaplan").texts("grid")) == {"kaplan"}


def test_the_section_shows_what_could_not_be_fitted_with_its_reason(tmp_path):
    """One budget alone gives minima and no law."""
    table = read_sweeps([write_recipes(tmp_path / "one", budgets=(8e11,))])
    study = study_recipes(table, CONFIG, "exact")
    section = recipe_section(study)
    exponents = section.tables[0]
    assert len(exponents.rows) == 3
    assert all(row[1] == "–" for row in exponents.rows)
    assert "no exponent" in conclusion(study)
    json.dumps(plain(recipes_json(study)), allow_nan=False)


def test_published_exponents_stand_only_beside_their_own_steps(made):
    assert "Porian et al." not in recipe_section(made).tables[0].columns
    assert min(PUBLISHED.values()) > 0.49


def test_recipes_stand_in_the_order_of_the_plan(directory, table, tmp_path):
    study = study_recipes(table, CONFIG, "exact", ["chinchilla", "kaplan"])
    assert list(study.settings) == ["chinchilla", "kaplan"]
    assert [fit.recipe for fit in study.fits] == ["chinchilla", "kaplan", "kaplan"]
    rows = [{"grid": "b"}, {"grid": "a"}, {"grid": "b"}]
    (tmp_path / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert planned_order([str(directory), str(tmp_path)]) == ["b", "a"]


def test_settings_tell_the_recipes_apart(made):
    rows = {row[0]: row for row in recipe_section(made).tables[1].rows}
    assert rows["kaplan"][3:] == ["300k", "200M"]
    assert rows["chinchilla"][4] == "each run's own D"


def test_the_report_and_its_json(directory, tmp_path, capsys):
    config = AnalysisConfig(
        sweeps=[str(directory)], fit=FitConfig(n_resamples=100), out=str(tmp_path)
    )
    page = analyse(config, "the command").read_text()
    assert "Recipes side by side" in page
    assert "recipe_profiles" in page
    assert "recipe chinchilla" in capsys.readouterr().out
    content = json.loads((tmp_path / "recipes.json").read_text())
    assert content["fitted"] == "chinchilla"
    assert len(content["recipes"]) == 3
    fits = json.loads((tmp_path / "fits.json").read_text())
    assert fits["isoflop"]["a"] == pytest.approx(content["recipes"][2]["isoflop"]["a"])


def test_sweeps_of_one_recipe_have_no_such_section(tmp_path):
    table = read_sweeps([write_sweep(tmp_path / "plain")])
    assert study_recipes(table, CONFIG, "exact") is None


def test_tables_without_grids_have_no_recipes(table):
    runs = table.runs.drop(columns=["grid"])
    assert study_recipes(type(table)(runs=runs, curves=table.curves), CONFIG, "exact") is None


def test_older_tables_that_do_not_know_the_horizon_are_compared_as_counted(table):
    runs = table.runs.drop(columns=["horizon_tokens", "warmup_tokens"])
    assert isinstance(runs, pd.DataFrame)
    study = study_recipes(type(table)(runs=runs, curves=table.curves), CONFIG, "exact")
    assert study is not None
    assert [fit.recipe for fit in study.fits] == ["kaplan", "chinchilla"]
    assert np.isnan(study.settings["kaplan"]["horizon_tokens"]).all()
