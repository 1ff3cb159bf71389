from dataclasses import replace
from pathlib import Path

import pytest

from analysis.data.loss_table import select
from analysis.data.readers import read_sweeps
from analysis.sections.min_loss import min_loss_section, optimal_losses
from analysis.studies.allocation import allocate
from analysis.studies.approaches.envelope import LOSS_CAVEAT
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.study import Study, run_study


@pytest.fixture(scope="module")
def study(sweep_dir: Path) -> Study:
    return run_study(select(read_sweeps([sweep_dir])), FitConfig(n_resamples=100))


def test_every_approach_has_a_loss_at_its_optimum(study: Study):
    top = float(study.runs.flops.max())
    advice = {row.approach: row for row in allocate(study, [top])}
    assert set(advice) == {"envelope", "isoflop", "parametric", "kaplan"}
    curves = optimal_losses(study, top)  # type: ignore[arg-type]
    for name, row in advice.items():
        assert row.loss == pytest.approx(float(curves[name]))
        if name == "envelope":
            assert LOSS_CAVEAT in row.loss_reason
        else:
            assert row.loss_interval[0] < row.loss < row.loss_interval[1]
        assert row.loss < study.runs.loss.min() * 1.1


def test_a_power_law_through_three_minima_gives_no_interval_beyond_the_runs(study: Study):
    top = float(study.runs.flops.max())
    within, beyond = (
        next(row for row in allocate(study, [c]) if row.approach == "isoflop")
        for c in (top, 100 * top)
    )
    assert within.loss_interval[0] < within.loss < within.loss_interval[1]
    assert beyond.extrapolated
    assert beyond.loss < within.loss
    assert str(beyond.loss_interval) == "(nan, nan)"
    assert "too narrow to print" in beyond.loss_reason


def test_the_section_shows_laws_and_reasons(study: Study):
    section = min_loss_section(study)
    assert section is not None
    rows = {row[0]: row for row in section.tables[0].rows}
    assert "do not determine E" in rows["isoflop"][-1]
    assert len(section.figures) == 1
    isoflop = study.find(IsoflopApproach)
    assert isoflop is not None
    two = replace(isoflop.fit, profiles=isoflop.fit.profiles[:2])
    without = replace(study, fits={"isoflop": replace(isoflop, fit=two)})
    (row,) = min_loss_section(without).tables[0].rows  # type: ignore[union-attr]
    assert row[:-1] == ["isoflop", "–", "–", "–", "–", "–"]
    assert row[-1].startswith("2 bracketed minima do not determine")
    assert min_loss_section(replace(study, fits={})) is None
