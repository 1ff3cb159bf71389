"""Simulated runs: what the fits find is held against what they should have found."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.data.readers import from_frame
from analysis.sections.recovery import recoveries, recovery_json, recovery_section
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.known_surfaces import BESIROGLU, KAPLAN, truth_json
from analysis.studies.recovery import conclusion, recovered
from analysis.studies.study import run_study


@pytest.fixture(scope="module")
def study():
    """Five budgets of seven sizes on the surface of Besiroglu et al., with a noise of 0.4 %."""
    rng = np.random.default_rng(3)
    budgets = np.repeat(np.geomspace(1e18, 1e20, 5), 7)
    sizes = np.concatenate(
        [BESIROGLU.optimal(c).n_params * np.geomspace(0.2, 5, 7) for c in np.unique(budgets)]
    )
    tokens = budgets / (6 * sizes)
    loss = BESIROGLU.loss(sizes, tokens) * np.exp(rng.normal(0, 0.004, len(sizes)))
    columns = {"n_params": sizes, "n_tokens": tokens, "loss": loss, "flops_budget": budgets}
    frame = pd.DataFrame({**columns, "simulated": "besiroglu, noise 0.004"})
    config = FitConfig(n_resamples=200, approaches=["isoflop", "parametric"])
    return run_study(from_frame(frame, "simulated"), config)


def test_the_truth_lies_within_the_intervals_of_its_own_form(study):
    rows = recovered(study, BESIROGLU)
    assert [(row.approach, row.quantity) for row in rows] == [
        *(("isoflop", name) for name in "ab"),
        *(("parametric", name) for name in ("a", "b", "alpha", "beta", "E")),
    ]
    assert all(row.held for row in rows)
    assert conclusion(rows, "besiroglu").endswith("7 of 7 intervals hold the truth")


def test_another_truth_is_missed_and_named(study):
    rows = recovered(study, KAPLAN)
    assert {row.quantity for row in rows} == {"a", "b"}
    assert rows[0].truth == pytest.approx(KAPLAN.a, abs=1e-3)
    said = conclusion(rows, "kaplan")
    assert "0 of 4" in said
    assert "not a of isoflop, b of isoflop" in said


def test_an_estimate_without_an_interval_is_not_judged(study):
    parametric = study.find(ParametricApproach)
    unknown = replace(
        parametric.resampled(None),
        config=replace(parametric.config, interval="bootstrap"),
        fit=replace(parametric.fit, status="max_iterations"),
    )
    rows = recovered(replace(study, fits={"parametric": unknown}), BESIROGLU)
    assert {row.held for row in rows} == {None}
    assert "0 of 0" in conclusion(rows, "besiroglu")


def test_the_truth_is_found_beside_the_runs(study, tmp_path):
    mark = {"surface": "besiroglu", "truth": truth_json(BESIROGLU), "noise": 0.004}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "simulation.json").write_text(json.dumps({**mark, "undertuning": 0.02}))
    sources = (str(tmp_path / "one"), str(tmp_path / "two"))
    found = recoveries(replace(study, table=replace(study.table, sources=sources)))
    assert found is not None
    rows, said = found
    assert said.startswith(
        "Simulated on besiroglu, noise 0.004, small models undertuned by up to 2"
    )
    section = recovery_section(rows, said)
    assert [row[-1] for row in section.tables[0].rows] == ["yes"] * 7
    assert recovery_json(rows)[0]["held"] is True
    changed = {**mark, "undertuning": 0.0}
    (tmp_path / "two" / "simulation.json").write_text(json.dumps(changed))
    assert recoveries(replace(study, table=replace(study.table, sources=sources))) is None


def test_trained_runs_have_no_truth(study):
    assert recoveries(study) is None
