"""The report's part on bits per byte of texts that were given to `isoflop eval task=text`."""

import math
from collections.abc import Sequence

import pandas as pd

from analysis.emergence.rows import EvalRow, rows_of
from analysis.figures.text_loss import Gain, gain_figure, text_figure
from analysis.format import count_label
from analysis.report.document import Section, TableSpec

TEXT = "text"


def text_sections(evals: pd.DataFrame, runs: pd.DataFrame) -> list[Section]:
    """One section for each way in which texts were read; none where none were scored."""
    final = _final_rows(evals, runs)
    forms = dict.fromkeys(row.format for row in final)
    return [_section([row for row in final if row.format == form], form) for form in forms]


def text_comparison(
    names: tuple[str, str], tables: Sequence[tuple[pd.DataFrame, pd.DataFrame]]
) -> list[Section]:
    """The first sweep's best model of each domain against the second's, the reference.

    Only what both read in one way (context and stride) is compared; none where there is nothing.

    Args:    tables: (evals, runs) of each sweep.
    """
    ours, theirs = (_final_rows(evals, runs) for evals, runs in tables)
    shared = [form for form in dict.fromkeys(r.format for r in ours)
              if form in {r.format for r in theirs}]  # fmt: skip
    return [
        _compared(names, [[r for r in rows if r.format == form] for rows in (ours, theirs)], form)
        for form in shared
    ]


def _compared(names: tuple[str, str], sides: Sequence[Sequence[EvalRow]], form: str) -> Section:
    best = [{row.operands: row for row in sorted(rows, key=lambda r: -r.value)} for rows in sides]
    domains = [name for name in best[0] if name in best[1]]
    gains = [gain(best[0][name], best[1][name]) for name in domains]
    order = sorted(range(len(domains)), key=lambda i: gains[i].value)
    table = [
        [
            domains[i],
            *(f"{side[domains[i]].value:.4f}" for side in best),
            f"{gains[i].value:+.4f}",
            f"{gains[i].low:+.4f} to {gains[i].high:+.4f}" if math.isfinite(gains[i].low) else "–",
            *(count_label(side[domains[i]].n_params) for side in best),
        ]
        for i in order
    ]
    first, second = names
    left = sorted((best[0].keys() | best[1].keys()) - set(domains))
    text = (
        f"The best model of {first} on each domain against that of {second} ({form}); below zero "
        f"{first} needs fewer bits. Intervals follow from the two intervals over documents, as of "
        f"independent estimates, though both read the same documents: they are too wide."
    ) + (f" In one sweep alone: {', '.join(left)}." if left else "")
    columns = ("domain", first, second, "difference", "95 %", f"N, {first}", f"N, {second}")
    figures = [gain_figure(names, [(domains[i], gains[i]) for i in order])] if domains else []
    return Section("Bits per byte by domain", [text], figures,
                   [TableSpec("Domain by domain", columns, table)])  # fmt: skip


def gain(ours: EvalRow, theirs: EvalRow) -> Gain:
    """Difference of two values with the interval that the two intervals imply (MOVER)."""
    change = ours.value - theirs.value
    below = math.hypot(ours.value - ours.ci_low, theirs.ci_high - theirs.value)
    above = math.hypot(ours.ci_high - ours.value, theirs.value - theirs.ci_low)
    return Gain(change, change - below, change + above)


def _final_rows(evals: pd.DataFrame, runs: pd.DataFrame) -> list[EvalRow]:
    if not len(evals):
        return []
    scored = evals.loc[(evals["task"] == TEXT) & (evals["metric"] == "bits_per_byte")]
    rows = rows_of(scored, runs)
    last: dict[str, float] = {}
    for row in rows:
        last[row.run_id] = max(last.get(row.run_id, -math.inf), row.step)
    return [row for row in rows if row.step == last[row.run_id]]


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
