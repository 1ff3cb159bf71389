"""One report from one table of scores: what it shows, once, under its own name."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main, paths
from analysis.config import AnalysisConfig, TableConfig
from analysis.emergence.tables.curves import study_curves
from analysis.emergence.tables.read import scores_from_frame
from analysis.sections.score_table import _figures, report_scores
from train.config.cli import UsageError

SIZES = np.geomspace(1e8, 1e11, 6)
VALUES = {
    "exact_str_match": [0, 0, 0.001, 0.01, 0.4, 0.9],
    "log_likelihood": np.linspace(-9, -1, 6),
}


def scores(**columns) -> pd.DataFrame:
    return pd.concat(
        pd.DataFrame({"model": [f"m{i}" for i in range(6)], "params": SIZES, "task": "sums",
                      "metric": metric, "value": values} | columns)
        for metric, values in VALUES.items()
    )  # fmt: skip


def figures_of(frame: pd.DataFrame):
    table = scores_from_frame(frame, "x.csv")
    return _figures(study_curves(table), table)


def test_a_metric_is_drawn_once_beside_the_others_of_its_task() -> None:
    ((figure,), n_left) = figures_of(scores(chance=0.25))
    drawn = figure.figure.axes
    assert n_left == 0
    assert [axes.get_ylabel() for axes in drawn] == ["exact str match", "log likelihood"]
    assert [axes.get_xlabel() for axes in drawn] == ["parameters N"] * 2
    dotted = [line.get_ydata()[0] for line in drawn[0].lines if line.get_linestyle() == ":"]
    assert dotted == [0.25]


def test_lengths_of_targets_have_a_figure_of_their_own_per_family() -> None:
    parts = [scores(family=f, target_length=n) for f in ("GPT-3", "LaMDA") for n in (2, 3, 5)]
    found, _ = figures_of(pd.concat([*parts, scores(family="GPT-3")]))
    titles = [spec.caption.split(" by ")[0] for spec in found]
    assert sorted(titles) == ["sums", "sums, GPT-3,", "sums, LaMDA,"]
    by_length = next(spec for spec in found if "GPT-3," in spec.caption)
    legend = by_length.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["L = 2", "L = 3", "L = 5"]


def test_the_command_line_takes_a_table_of_scores(tmp_path: Path, capsys) -> None:
    path = tmp_path / "scores.csv"
    one_more = pd.DataFrame({"model": ["m9"], "params": [None], "task": ["sums"],
                             "metric": ["exact_str_match"], "value": [0.1]})  # fmt: skip
    pd.concat([scores(), scores(task="other"), one_more]).to_csv(path, index=False)
    table = TableConfig(path=str(path), filters={"task": "sums"})
    assert main(AnalysisConfig(table=table, out=str(tmp_path / "out")), []) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(tmp_path / "out" / "report.html")
    assert "12 rows were left out: left out by table.filters." in printed
    assert "1 rows were left out: no positive parameters N." in printed
    content = json.loads((tmp_path / "out" / "emergence.json").read_text())
    assert {one["metric"]: one["score"] for one in content["curves"]} == {
        "exact_str_match": pytest.approx(0.9 / 0.009), "log_likelihood": pytest.approx(5),
    }  # fmt: skip
    assert content["excluded_rows"] == {
        "left out by table.filters": 12,
        "no positive parameters N": 1,
    }
    page = (tmp_path / "out" / "report.html").read_text()
    assert "1 rows were left out: no positive parameters N." in page


def test_settings_of_score_tables_are_refused_for_tables_of_runs(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    pd.DataFrame({"n_params": [1e6, 2e6], "n_tokens": [1e8, 2e8], "loss": [4, 3]}).to_csv(
        path, index=False
    )
    for given, message in (
        ({"filters": {"lr": 1}}, "use fit.where"),
        ({"models": "m.csv"}, "is joined to tables of scores"),
    ):
        config = AnalysisConfig(table=TableConfig(path=str(path), **given), out=str(tmp_path))
        with pytest.raises(UsageError, match=message):
            main(config, [])


def test_a_directory_of_result_files_is_a_table(tmp_path: Path) -> None:
    results = {"results": {"piqa": {"acc,none": 0.6}}, "config": {"model_args": "pretrained=a"}}
    (tmp_path / "results_a.json").write_text(json.dumps(results))
    assert paths([str(tmp_path)], None) == [f"table.path={tmp_path}"]
    (tmp_path / "runs").mkdir()
    assert paths([str(tmp_path)], None) == [f"sweeps=[{tmp_path}]"]


def test_nothing_to_score_is_a_page_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    scores().groupby("metric").head(2).to_csv(path, index=False)
    from analysis.emergence.tables.read import ScoreOptions

    page = report_scores(path, ScoreOptions(), tmp_path / "out", None, "command").read_text()
    assert "No curve can be scored: 2 task, metric and family triplets" in page
