"""fit.by: a fit of its own for each value of a column, side by side."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND, output_directory
from analysis.config import AnalysisConfig
from analysis.data.readers import from_frame
from analysis.data.table_error import TableError
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.studies.fit_config import FitConfig
from analysis.studies.questions.by_column import split, study_by
from analysis.studies.study import run_study
from train.commands.command_line import run_command
from train.config.cli import load_config

SURFACES = {"web": Surface(1.7, 400.0, 410.0, 0.34, 0.28), "code": Surface(0.7, 400, 410, 0.3, 0.4)}
CONFIG = FitConfig(n_resamples=0, approaches=["parametric"])


def frame() -> pd.DataFrame:
    """Two corpora on surfaces of their own, and two runs of a third."""
    n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 5)))
    parts = [
        pd.DataFrame({"n_params": n, "n_tokens": d, "corpus": name, "loss": surface.loss(n, d)})
        for name, surface in SURFACES.items()
    ]
    few = parts[0].head(2).assign(corpus="books", loss=[3.0, 3.1])
    return pd.concat([*parts, few], ignore_index=True)


def test_each_value_has_the_law_of_its_own_runs_and_too_few_say_so():
    made = study_by(from_frame(frame(), "made"), "corpus", lambda part: run_study(part, CONFIG))
    for name, surface in SURFACES.items():
        study = made.studies[name]
        assert study.fits["parametric"].a == pytest.approx(surface.a, rel=1e-6)
        assert (len(study.runs), len(study.table.excluded)) == (30, 32)
        assert "fitted apart (fit.by)" in study.table.excluded[0].reason
    assert list(made.studies) == ["code", "web", "books"]
    assert "2 runs can't determine 5" in made.studies["books"].missing["parametric"]


def test_columns_that_do_not_name_kinds_are_refused():
    table = from_frame(frame(), "made")
    with pytest.raises(TableError, match=r"fit.by=corpse is no column of the runs; they have: "):
        split(table, "corpse")
    with pytest.raises(TableError, match=r"fit.by=run_id: the column has 62 value"):
        split(table, "run_id")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (["sweeps=[results/demo]"], "results/demo/analysis/by-data"),
        (["table.path=a/runs.csv"], "results/analysis-runs/by-data"),
        (["table.path=a/runs.csv", "out=x"], "x"),
    ],
)
def test_no_fits_of_one_law_are_replaced(given, path):
    config = load_config("analysis", [*given, "fit.by=data"], AnalysisConfig)
    assert str(output_directory(config)) == path


def test_values_without_any_fit_are_a_reason():
    def refused(part):
        raise FitError("no")

    with pytest.raises(FitError, match=r"no value's runs could be fitted \(code: no; web: no"):
        study_by(from_frame(frame(), "made"), "corpus", refused)


def test_the_command_prints_and_writes_every_value(tmp_path, capsys):
    frame().to_csv(tmp_path / "runs.csv", index=False)
    given = [str(tmp_path / "runs.csv"), "fit.by=corpus", "fit.n_resamples=0",
             "fit.approaches=[parametric]", f"out={tmp_path / 'out'}"]  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        run_command(COMMAND, given, "isoflop analyze")
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    for name, surface in SURFACES.items():
        assert f"corpus {name}:" in said
        assert f"parametric a {surface.a:.4g}" in said
    numbers = json.loads((tmp_path / "out/fits.json").read_text())
    assert numbers["by"] == "corpus" and list(numbers["values"]) == ["code", "web", "books"]
    html = (tmp_path / "out/report.html").read_text()
    assert "Exponents by corpus" in html and "Excluded runs, web" in html
