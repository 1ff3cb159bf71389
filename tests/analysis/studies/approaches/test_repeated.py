"""Where tokens were seen repeatedly, the data-constrained law decides, or says why it can't."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_table import LossTable, select
from analysis.data.readers import from_frame, read_file
from analysis.errors import FitError
from analysis.fits.data_constrained import DataConstrained
from analysis.fits.surface import Surface
from analysis.sections.prose.opening import decision
from analysis.sections.summary import caveats
from analysis.studies.allocation import allocate
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.fits_json import fits_json
from analysis.studies.study import Study, run_study
from tests.support.published import published_file

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)
CONFIG = FitConfig(n_resamples=100, approaches=["isoflop", "parametric"])


def table(n_new: int = 24, max_epochs: float = 4.0) -> LossTable:
    """Sizes by token counts on new data, and the same with each token seen 1.5 to 40 times."""
    rng = np.random.default_rng(2)
    n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 3e9, 6), np.geomspace(1e9, 6e10, 4)))
    epochs = np.concatenate([np.ones(n_new), np.geomspace(1.5, 40, 24)[rng.permutation(24)]])
    n, d = (np.concatenate([x[rng.permutation(24)[:n_new]], x]) for x in (n, d))
    loss = np.asarray(DataConstrained(SURFACE, 12.0, 5.0).loss(n, d, epochs))
    frame = pd.DataFrame({
        "n_params": n, "n_tokens": d, "epochs": epochs,
        "loss": loss * np.exp(0.002 * rng.normal(size=len(n))),
    })  # fmt: skip
    return select(from_frame(frame, "made"), max_epochs=max_epochs)


@pytest.fixture(scope="module")
def study() -> Study:
    return run_study(table(), CONFIG)


def test_the_law_decides_and_its_numbers_reach_the_line_the_json_and_the_headline(study):
    fit = study.find(RepeatedApproach)
    assert fit is not None and study.preferred is fit
    low, high = fit.intervals["R_D"]
    assert low < 12.0 < high < 60
    assert fit.printed[0].startswith(f"R_D {fit.parameters['R_D']:.3g} [")
    numbers = fits_json(study, [])
    assert numbers["preferred_approach"] == "repeated"
    assert numbers["repeated"]["intervals"]["R_D"] == [low, high]
    assert numbers["repeated"]["n_new"] == 24
    assert "new tokens" in decision(study, allocate(study))


def test_repeated_tokens_that_are_asked_to_count_as_new_leave_the_decision_to_the_others():
    study = run_study(table(max_epochs=np.inf), replace(CONFIG, max_epochs=np.inf, n_resamples=0))
    assert study.preferred is not None and study.preferred.name != "repeated"


def test_fixed_values_reach_the_law_and_need_repeated_data(study):
    config = replace(CONFIG, n_resamples=0, fixed={"R_D": 4.0, "alpha": 0.34})
    fit = run_study(table(), config).find(RepeatedApproach)
    assert fit is not None
    assert (fit.parameters["R_D"], fit.parameters["alpha"]) == (4.0, 0.34)
    assert "R_D 4 (fixed)" in fit.printed[0] and "R_D" not in fit.intervals
    new = table().runs.query("epochs <= 1").reset_index(drop=True)
    with pytest.raises(FitError, match="names R_D, but no run saw tokens more than once"):
        run_study(LossTable(new, table().curves), config)


def test_fewer_than_eight_runs_on_new_data_are_refused_with_the_reason():
    study = run_study(table(n_new=7), replace(CONFIG, n_resamples=0))
    said = decision(study, allocate(study))
    assert study.preferred is None
    assert said.startswith("These runs do not determine a compute-optimal size")
    assert "repeated: 7 of 31 runs are on new data" in said
    assert fits_json(study, [])["repeated"]["status"] == "degenerate"


def test_datablations_decides_by_the_runs_on_new_data():
    """Muennighoff et al. 2023: as new, all runs say 1.4 tokens per parameter."""
    found = read_file(published_file("datablations.csv"))
    study = run_study(select(found, max_epochs=4.0), replace(CONFIG, n_resamples=0))
    fit = study.preferred
    assert isinstance(fit, RepeatedApproach)
    best = fit.optimal(2.14e21)
    assert fit.a == pytest.approx(0.533, abs=1e-3)
    assert float(best.n_tokens) / float(best.n_params) == pytest.approx(57.2, abs=0.2)
    assert fit.parameters["R_D"] == pytest.approx(55.9, abs=0.5)
    assert any("knows no overfitting" in note for note in caveats(study))
