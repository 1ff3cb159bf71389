"""The end of the report: every run that was fitted and every run that was not, with its reason."""

import numpy as np
import pandas as pd

from analysis.section import Section, TableSpec
from analysis.study import Study
from analysis.style import count_label, number

MOST_ROWS = 500
"""Runs listed at most; the rest are in the table that the report was made from."""


def runs(study: Study) -> Section:
    """The table of the runs that were fitted."""
    sources = f"Read from {', '.join(study.table.sources)}."
    return Section("Every run", [sources], [], [run_table(study)])


def exclusions(study: Study) -> Section:
    """The runs that no fit uses, counted by reason and one by one."""
    if not study.table.excluded:
        return Section("Excluded runs", ["No run was excluded."])
    return Section("Excluded runs", [], [], [exclusion_counts(study), exclusion_table(study)])


def run_table(study: Study) -> TableSpec:
    frame = study.table.runs
    columns = {
        "run_id": str,
        "name": str,
        "grid": str,
        "seed": str,
        "n_params": lambda v: count_label(float(v)),
        "n_tokens": lambda v: count_label(float(v)),
        "flops": lambda v: number(float(v)),
        "flops_budget": lambda v: number(float(v)),
        "lr_peak": lambda v: number(float(v)),
        "loss": lambda v: number(float(v), 5),
        "bits_per_byte": lambda v: number(float(v), 4),
        "wall_seconds": lambda v: number(float(v)),
    }
    shown = {
        name: form
        for name, form in columns.items()
        if name in frame and bool(np.any(frame[name].notna()))
    }
    rows = [
        [form(value) for form, value in zip(shown.values(), row, strict=True)]
        for row in frame[list(shown)].head(MOST_ROWS).itertuples(index=False)
    ]
    title = f"Fitted runs ({min(len(frame), MOST_ROWS):,} of {len(frame):,})"
    return TableSpec(title, list(shown), rows)


def exclusion_table(study: Study) -> TableSpec:
    excluded = study.table.excluded
    rows = [[row.run_id, row.reason] for row in excluded[:MOST_ROWS]]
    return TableSpec(f"Excluded runs ({len(excluded):,})", ["run", "reason"], rows)


def exclusion_counts(study: Study) -> TableSpec:
    reasons = pd.Series([row.reason for row in study.table.excluded], dtype=str)
    rows = [[reason, str(count)] for reason, count in reasons.value_counts().head(50).items()]
    return TableSpec("Exclusions by reason", ["reason", "runs"], rows)
