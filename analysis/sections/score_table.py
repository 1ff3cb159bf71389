"""Foreign scores (BIG-bench, Pythia, ...) through the same analysis: one report from one table."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis.data.reading.formats import read_cells
from analysis.data.table_error import TableError
from analysis.emergence.abilities import abilities
from analysis.emergence.score_tables import looks_like_scores, read_scores
from analysis.emergence.study import study_all
from analysis.report.document import Part
from analysis.report.report import Report
from analysis.report.write import write_report
from analysis.sections.emergence import emergence_json, emergence_section
from train.rundir.atomic import write_json


def is_score_table(path: Path, columns: Mapping[str, str]) -> bool:
    """True if a file's header has task, metric and value; False for what can't be read."""
    try:
        return looks_like_scores(list(read_cells(path).frame), columns)
    except TableError:
        return False


def report_scores(
    path: Path, columns: Mapping[str, str], directory: Path, title: str | None, command: str
) -> Path:
    """Write emergence.json, figures and report.html on a table of scores; the path of the page.

    Raises:  EmergenceError: missing columns or no usable row.
    """
    scores = read_scores(path, columns)
    n_unusable = scores.attrs["n_unusable"]
    studies = study_all(abilities(scores, pd.DataFrame()))
    write_json(directory / "emergence.json", emergence_json(studies))
    n_models = scores["run_id"].nunique()
    left_out = f"{n_unusable} rows had no positive scale or no numeric value and were left out."
    report = Report(
        title=title or f"Emergence in {path.stem}",
        decision=f"{n_models} models, {scores['task'].nunique()} tasks, "
        f"{scores['metric'].nunique()} metrics: the score table below says which show emergence.",
        caveats=[left_out] if n_unusable else [],
        facts=[("models", str(n_models)), ("scores", str(len(scores)))],
        parts=[Part("Emergence", [emergence_section(studies)])],
        command=command,
        provenance=[("scores", str(path))],
    )
    return write_report(report, directory)
