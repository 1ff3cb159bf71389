from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_table import LossTable
from analysis.data.readers import from_frame
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.sections.irreducible_loss import conclusion, entropy_section
from analysis.studies.fit_config import FitConfig
from analysis.studies.irreducible_loss import (
    IrreducibleLossStudy,
    known_entropy,
    study_irreducible_loss,
)
from analysis.studies.study import run_study

ENTROPY = 0.9
SURFACE = Surface(E=ENTROPY, A=25.0, B=140.0, alpha=0.35, beta=0.4)
CONFIG = FitConfig(n_resamples=100, approaches=["envelope", "isoflop", "parametric"])


def table(entropy: float | None = ENTROPY, n_budgets: int = 5) -> LossTable:
    budgets = np.geomspace(1e11, 1e14, n_budgets)
    best = np.asarray(SURFACE.optimal(budgets).n_params)
    n_params = (best[:, None] * np.geomspace(0.25, 4, 6)).ravel()
    budget = np.repeat(budgets, 6)
    n_tokens = budget / (6 * n_params)
    noise = np.random.default_rng(3).normal(0, 0.002, len(budget))
    frame = pd.DataFrame({
        "n_params": n_params, "n_tokens": n_tokens, "flops_budget": budget,
        "loss": np.asarray(SURFACE.loss(n_params, n_tokens)) * np.exp(noise),
        "entropy": entropy,
    })  # fmt: skip
    return from_frame(frame, "test")


@pytest.fixture(scope="module")
def made() -> IrreducibleLossStudy:
    found = study_irreducible_loss(table(), CONFIG, "exact")
    assert found is not None
    return found


def test_estimates_of_E_hold_the_entropy_of_the_surface(made: IrreducibleLossStudy):
    assert made.entropy == ENTROPY
    own = {one.approach: one for one in made.estimates if one.counting == "exact"}
    for name in ("parametric", "isoflop"):
        low, high = own[name].interval
        assert low <= ENTROPY <= high
        assert pytest.approx(ENTROPY, abs=0.1) == own[name].E
        assert (own[name].n_budgets, own[name].n_runs) == (5, 30)


def test_what_can_not_be_fitted_is_there_with_its_reason(made: IrreducibleLossStudy):
    missing = {(f.approach, f.counting): f.reason for f in made.estimates if np.isnan(f.E)}
    assert "no training curves" in missing["envelope", "exact"]
    assert "n_params_non_embedding" in missing["parametric", "non_embedding"]
    few = [f for f in made.growth if f.approach == "isoflop" and f.n_budgets < 4]
    assert [f.n_budgets for f in few] == [2, 3]
    assert "do not determine" in few[0].reason
    assert "do not determine E" in few[1].reason


def test_more_compute_narrows_the_interval(made: IrreducibleLossStudy):
    for name in ("parametric", "isoflop"):
        spans = [f.interval for f in made.growth if f.approach == name and np.isfinite(f.E)]
        widths = [high - low for low, high in spans]
        assert widths[-1] < 0.7 * widths[0]


def test_the_entropy_is_unknown_or_must_be_one():
    assert known_entropy(table(entropy=None)) is None
    assert study_irreducible_loss(table(entropy=None), CONFIG, "exact") is None
    mixed = table()
    mixed = replace(mixed, runs=mixed.runs.assign(entropy=np.linspace(0.9, 1.0, 30)))
    with pytest.raises(FitError, match=r"entropies from 0\.9 to 1;"):
        study_irreducible_loss(mixed, CONFIG, "exact")


def test_the_section_says_who_holds_the_entropy(made: IrreducibleLossStudy):
    study = run_study(table(), CONFIG)
    assert "its interval holds the entropy" in conclusion(study, made)
    section = entropy_section(study, made)
    conventions, growth = section.tables
    assert len(conventions.rows) == 12
    assert len(growth.rows) == 12
    assert all(len(row) == len(conventions.columns) for row in conventions.rows)
    wrong = replace(made, entropy=0.5)
    assert "its interval misses the entropy" in conclusion(study, wrong)


def test_bits_per_byte_are_not_held_against_an_entropy_in_nats():
    with pytest.raises(FitError, match="laws are of bits_per_byte; fit the loss"):
        study_irreducible_loss(table(), FitConfig(loss="bits_per_byte"), "exact")
