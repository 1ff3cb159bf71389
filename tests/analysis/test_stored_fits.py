"""fits.json as objects: everything that was written, older spellings, and damaged files."""

import json

import pytest

from analysis.data.cost_law import Cost
from analysis.data.loss_table import select
from analysis.data.readers import read_sweeps
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.stored_fits import fits_of_json, read_fits
from analysis.studies.allocation import allocate
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.fits_json import fits_json
from analysis.studies.study import run_study
from train.config.spec import SpecError

PARAMETRIC = {"E": 1.0, "A": 2, "B": 3.0, "alpha": 0.4, "beta": 0.5}


def test_the_fits_of_a_study_are_read_back(sweep_dir, tmp_path):
    study = run_study(select(read_sweeps([sweep_dir])), FitConfig(n_resamples=0))
    assert study.preferred is not None
    content = fits_json(study, allocate(study))
    path = tmp_path / "analysis" / "fits.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    fits = read_fits(tmp_path)
    assert fits.path == path
    assert fits.preferred_approach == study.preferred.name
    assert fits.n_runs == len(study.runs)
    assert fits.cost is not None and fits.cost.k == study.runs.cost.k
    assert fits.surface == study.fits["parametric"].surface
    for name, fit in study.fits.items():
        stored = getattr(fits, name)
        assert (stored.status, stored.objections) == (fit.status, list(fit.objections))
        assert stored.a == pytest.approx(fit.a)
    isoflop = study.find(IsoflopApproach)
    assert isoflop is not None and fits.isoflop is not None
    assert [one.flops for one in fits.isoflop.budgets] == [
        one.flops for one in isoflop.fit.profiles
    ]


def test_a_surface_needs_all_of_its_numbers():
    cost = {"k": 30.0, "gamma": 0.9}
    fits = fits_of_json({"parametric": PARAMETRIC, "cost": cost})
    assert fits.surface == Surface(1.0, 2.0, 3.0, 0.4, 0.5, Cost(30.0, 0.9))
    for lacking in ({}, {"parametric": None}, {"parametric": {"E": None}, "cost": cost}):
        with pytest.raises(FitError, match="no parametric surface"):
            _ = fits_of_json(lacking).surface


def test_keys_of_other_releases_are_passed_over_and_the_old_name_is_read():
    fits = fits_of_json({"decision": "isoflop", "isoflop": {"a": 0.5, "new": 1}, "later": {}})
    assert fits.preferred_approach == "isoflop"
    assert fits.isoflop is not None and fits.isoflop.a == 0.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"cost": {"k": "six", "gamma": 1}}, r"fits\.json\.cost\.k: got 'six'; expected number"),
        ({"isoflop": {"budgets": [{"n_opt": 1}]}}, r"budgets\.0\.flops is not set"),
        ([], r"fits\.json: got \[\]; expected group"),
    ],
)
def test_damage_is_named_by_its_key(content, message):
    with pytest.raises(SpecError, match=message):
        fits_of_json(content)


def test_without_fits_the_command_that_makes_them_is_named(tmp_path):
    with pytest.raises(FitError, match="fit it first: isoflop analyze"):
        read_fits(tmp_path)
