"""The end of the report: every run that was fitted and every run that was not, with its reason."""

import pandas as pd

from analysis.report.document import Section, TableSpec
from analysis.report.run_table import RunTable, limits, run_table
from analysis.studies.study import Study

MOST_ROWS = 10_000
"""Exclusions listed at most; fits.json has them all."""


def runs(book: RunTable) -> Section:
    """The table of every run that was read, those that were fitted first."""
    return Section("Every run", limits(book), [], [run_table(book)])


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
