"""Which runs form one curve, and over what: sizes at one length or one budget, lengths at one size.

A metric over scale is a curve only where one thing varies. Runs of an IsoFLOP budget differ in N
and D together along the same C; all budgets thrown together have no order.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from analysis.emergence.rows import EvalRow
from analysis.emergence.score import MIN_POINTS


class Curve(NamedTuple):
    """The axis of a curve and what its runs have in common; `label` is "" for the only curve."""

    scale: str
    held: str = ""
    value: float = math.nan

    @property
    def label(self) -> str:
        return f"{_SYMBOLS[self.held]} = {self.value:.3g}" if self.held else ""


_SYMBOLS = {"budget": "budget C", "n_tokens": "D", "n_params": "N"}


def curves_of(rows: Sequence[EvalRow]) -> dict[Curve, set[str]]:
    """Run ids of each curve, in order of what its runs have in common.

    One curve over N where every size was trained to one length. Else one over N for each FLOP
    budget of an IsoFLOP sweep; else over N for each number of tokens, or over D for each size,
    whichever makes curves of three points; else all runs over FLOPs.
    """
    runs = {row.run_id: row for row in rows}
    everything = list(runs.values())
    lengths: dict[float, set[float]] = {}
    for row in everything:
        lengths.setdefault(row.n_params, set()).add(row.n_tokens)
    if all(len({n for n in found if math.isfinite(n)}) <= 1 for found in lengths.values()):
        return {Curve("n_params"): set(runs)}
    for held, scale in (("budget", "n_params"), ("n_tokens", "n_params"), ("n_params", "n_tokens")):
        groups = _groups(everything, held)
        if groups is None:
            continue
        if max(len({getattr(r, scale) for r in group}) for group in groups.values()) >= MIN_POINTS:
            return {
                Curve(scale, held, value): {row.run_id for row in group}
                for value, group in sorted(groups.items())
            }
    known = all(math.isfinite(row.flops) for row in everything)
    return {Curve("flops" if known else "n_params"): set(runs)}


def _groups(rows: Sequence[EvalRow], held: str) -> dict[float, list[EvalRow]] | None:
    """Runs by what they have in common, to three digits; None where some run's is not known."""
    found: dict[float, list[EvalRow]] = {}
    for row in rows:
        value = getattr(row, held)
        if not math.isfinite(value):
            return None
        found.setdefault(float(f"{value:.3g}"), []).append(row)
    return found
