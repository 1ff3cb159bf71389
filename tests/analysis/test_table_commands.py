"""Tables through the command line: what is printed, and that every mistake is one line."""

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND
from analysis.config import AnalysisConfig
from analysis.data.loss_table import Exclusion
from analysis.printed import _why
from train.commands.command_line import run_command, translate
from train.config.cli import load_config

SIZES = np.geomspace(1e7, 1e9, 6)
FRAME = pd.DataFrame(
    [(n, d) for n in SIZES for d in (1e9, 4e9, 1.6e10)], columns=["Model Size", "Tokens"]
)
FRAME["Val Loss"] = 1.7 + 400 / FRAME["Model Size"] ** 0.34 + 410 / FRAME["Tokens"] ** 0.28
FRAME["source"] = "mine"


@pytest.fixture
def table(tmp_path):
    FRAME.to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path / "runs.csv"


def run(*overrides):
    with pytest.raises(SystemExit) as stopped:
        run_command(COMMAND, list(overrides), "isoflop analyze")
    return stopped.value.code


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("fit.weights=source",), "fit.weights=source has 'mine'; expected numbers >= 0"),
        (("fit.weights=nothing",), "fit.weights=nothing is no column"),
        (("fit.best_of=[layers]",), "fit.best_of: the table has no column 'layers'"),
        (("fit.where=['loss<<2']",), "did you mean < or <=?"),
        (("fit.where=['loss<1']",), "no run passes fit.where='loss<1': of 18 runs, loss is"),
        (("fit.max_epochs=0",), "fit.max_epochs=0.0 must be at least 1"),
        (("table.units={n_params: furlongs}",), "is no unit; expected a number or one of"),
        (("table.decimal=x",), "table.decimal='x' is no decimal mark"),
        (("table.columns={loss: Val Los}",), "did you mean 'Val Loss'?"),
    ],
)
def test_a_mistake_is_one_line_and_a_failing_exit(overrides, message, table, capsys):
    out = table.parent / "out"
    assert run(str(table), "fit.n_resamples=0", *overrides, f"out={out}") == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert "Traceback" not in said.err
    assert not out.exists()


def test_a_table_without_a_usable_run_fails(tmp_path, capsys):
    path = tmp_path / "runs.csv"
    FRAME.assign(**{"Val Loss": "soon"}).to_csv(path, index=False)
    assert run(str(path)) == 2
    assert "no usable run: 18 excluded, first reason: loss='soon' is no number" in (
        capsys.readouterr().err
    )


def test_what_was_read_is_printed_before_the_fits(table, capsys):
    out = table.parent / "out"
    assert run(str(table), "fit.n_resamples=0", "fit.approaches=[parametric]",
               f"out={out}") == 0  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("read 18 runs: n_params from 'Model Size' (10M to 1B), n_tokens")
    assert lines[1].startswith("18 runs fitted")


def test_units_and_marks_reach_the_reader():
    given = ["x.csv", "table.units={n_params: millions}", "table.decimal=','"]
    config = load_config("analysis", translate(COMMAND, given).overrides, AnalysisConfig)
    assert config.table.options.units == {"n_params": "millions"}
    assert config.table.options.decimal == ","


def test_why_runs_were_excluded_is_printed_by_kind_with_counts(table, tmp_path, capsys):
    quick = ["fit.n_resamples=0", "fit.approaches=[parametric]", f"out={tmp_path / 'out'}"]
    assert run(str(table), "fit.where=['loss>3']", "fit.drop_highest=1", *quick) == 0
    line = next(one for one in capsys.readouterr().out.splitlines() if "runs fitted" in one)
    kept, _, why = line.partition(" excluded: ")
    n_excluded = int(kept.split()[-1])
    assert n_excluded == len(FRAME) - int(kept.split()[0]) > 2
    assert [int(part.split()[0]) for part in why.split("; ")] == [n_excluded - 1, 1]
    assert "loss>3" in why
    reasons = [f"loss {i}.5, its cell's best is 2" for i in range(5)] + ["status failed"]
    rows = [Exclusion(str(i), reason) for i, reason in enumerate(reasons)]
    assert _why(rows) == f": 5 (such as: {reasons[0]}); 1 (status failed)"
    assert _why(rows[-1:]) == ": 1 (status failed)" and _why([]) == ""
