"""The report's part on bits per byte of texts that were given to `isoflop eval task=text`."""

import math
from collections.abc import Sequence

import pandas as pd

from analysis.emergence.rows import EvalRow, rows_of
from analysis.figures.text_loss import text_figure
from analysis.format import count_label
from analysis.report.document import Section, TableSpec

TEXT = "text"


def text_sections(evals: pd.DataFrame, runs: pd.DataFrame) -> list[Section]:
    """One section for each way in which texts were read; none where none were scored."""
    scored = evals.loc[(evals["task"] == TEXT) & (evals["metric"] == "bits_per_byte")]
    rows = rows_of(scored, runs)
    last = {row.run_id: max(r.step for r in rows if r.run_id == row.run_id) for row in rows}
    final = [row for row in rows if row.step == last[row.run_id]]
    forms = dict.fromkeys(row.format for row in final)
    return [_section([row for row in final if row.format == form], form) for form in forms]


def _section(rows: Sequence[EvalRow], form: str) -> Section:
    domains = list(dict.fromkeys(row.operands for row in rows))
    best = [min((r for r in rows if r.operands == name), key=lambda r: r.value) for name in domains]
    table = [
        [
            row.operands,
            f"{row.n_items:,.0f}",
            f"{row.value:.4f}",
            f"{row.ci_low:.4f} to {row.ci_high:.4f}" if math.isfinite(row.ci_low) else "–",
            count_label(row.n_params),
            count_label(row.n_tokens),
        ]
        for row in best
    ]
    n_models = len({row.run_id for row in rows})
    text = (
        f"{n_models} models read {len(domains)} domains ({form}). A token counts by the bytes that "
        f"it stands for, so models with different tokenizers can be compared; intervals are over "
        f"documents."
    )
    columns = ("domain", "documents", "bits per byte", "95 % interval", "best model's N", "its D")
    return Section(
        "Bits per byte by domain",
        [text],
        [text_figure(rows, form)],
        [TableSpec("The best model of each domain", columns, table)],
    )
