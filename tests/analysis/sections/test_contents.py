"""A report's contents: each study is made once, and nothing is written or printed on the way."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import fitted
from analysis.config import AnalysisConfig
from analysis.report.run_table import build_run_table
from analysis.sections import contents as contents_module
from analysis.sections.contents import ReportInputs, contents
from train.config.cli import load_config


@pytest.fixture
def sweep(sweep_dir: Path, tmp_path: Path) -> Path:
    """The synthetic sweep, evaluated and simulated, so that most builders have something to say."""
    for path in sweep_dir.glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    runs = pd.read_parquet(tmp_path / "runs.parquet")
    n = np.unique(runs["n_params"])
    pd.DataFrame({
        "run_id": [f"m{i}" for i in range(len(n))], "step": 9, "n_params": n, "n_tokens": 1e6,
        "flops": n * 6e6, "loss": 2.0, "task": "addition-3", "format": "plain", "n_shots": 0,
        "split": "heldout", "target_length": np.nan, "metric": "exact_match",
        "value": np.linspace(0, 1, len(n)), "ci_low": 0.0, "ci_high": 1.0, "n_items": 100,
    }).to_parquet(tmp_path / "evals.parquet")  # fmt: skip
    return tmp_path


def test_abilities_are_studied_once_and_nothing_is_written(sweep, monkeypatch, capsys) -> None:
    overrides = [f"sweeps=[{sweep}]", "fit.n_resamples=0"]
    config = load_config("analysis", overrides, AnalysisConfig)
    everything, study, advice = fitted(config)
    calls = []
    real = contents_module.study_all
    monkeypatch.setattr(contents_module, "study_all", lambda a: calls.append(a) or real(a))
    before = sorted(sweep.rglob("*"))
    capsys.readouterr()
    made = contents(
        ReportInputs(config, everything, study, advice, build_run_table(everything, set()))
    )
    assert len(calls) == 1
    assert sorted(sweep.rglob("*")) == before
    assert capsys.readouterr().out == ""
    assert [part.title for part in made.parts] == [
        "Fits", "Emergence", "Validation", "Runs", "Exclusions",
    ]  # fmt: skip
    (ability,) = made.files["emergence.json"]["abilities"]
    assert ability["task"] == "addition-3"
