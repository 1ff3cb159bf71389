"""The end of the report: every run that was fitted and every run that was not, with its reason."""

from collections import Counter

import pandas as pd

from analysis.data.loss_table import LossTable
from analysis.format import count_label, number
from analysis.report.document import Section, TableSpec
from analysis.report.run_table import RunTable, limits, run_table
from analysis.studies.study import Study

MOST_ROWS = 10_000
"""Exclusions listed at most; fits.json has them all."""


def runs(book: RunTable, *studies: Study) -> Section:
    """The table of every run that was read, those that were fitted first, and of the best of cells
    that were trained under several settings.
    """
    best = [table for study in studies for table in best_settings(study.table)]
    return Section("Every run", limits(book), [], [*best, run_table(book)])


def best_settings(table: LossTable) -> list[TableSpec]:
    """The best run of each cell that was trained under several settings; no table without any."""
    swept = table.settings
    names = [name for name in swept.columns if name not in ("loss", "best_of")]
    if not len(swept):
        return []
    counts = Counter(swept["best_of"].astype(str))
    rows, run_ids = [], []
    best = table.runs.assign(_run=table.texts("run_id"))
    for row in best.to_dict("records"):
        if (count := counts[str(row["_run"])]) < 2:
            continue
        settings = [_setting(row[name]) for name in names]
        size, tokens = count_label(row["n_params"]), count_label(row["n_tokens"])
        rows.append([size, tokens, *settings, number(row["loss"], 5), str(count)])
        run_ids.append(str(row["_run"]))
    title = f"Best settings of each cell ({len(rows):,} cells)"
    columns = ["N", "D", *names, "loss", "runs"]
    return [TableSpec(title, columns, rows[:MOST_ROWS], sortable=True, run_ids=run_ids[:MOST_ROWS])]


def _setting(value: object) -> str:
    return number(value) if isinstance(value, int | float) else str(value)


def exclusions(study: Study, title: str = "Excluded runs") -> Section:
    """The runs that no fit uses, counted by reason and one by one."""
    if not study.table.excluded:
        return Section(title, ["No run was excluded."])
    return Section(title, [], [], [exclusion_counts(study), exclusion_table(study)])


def exclusion_table(study: Study) -> TableSpec:
    excluded = study.table.excluded
    rows = [[row.run_id, row.reason] for row in excluded[:MOST_ROWS]]
    run_ids = [row.run_id for row in excluded[:MOST_ROWS]]
    title = f"Excluded runs ({len(rows):,} of {len(excluded):,})"
    return TableSpec(title, ["run", "reason"], rows, sortable=True, run_ids=run_ids)


def exclusion_counts(study: Study) -> TableSpec:
    reasons = pd.Series([row.reason for row in study.table.excluded], dtype=str)
    rows = [[reason, str(count)] for reason, count in reasons.value_counts().head(50).items()]
    return TableSpec("Exclusions by reason", ["reason", "runs"], rows)
