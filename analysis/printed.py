"""What an analysis prints on the terminal: what was read, and the main numbers."""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from analysis.data.loss_table import Exclusion
from analysis.sections.prose.opening import sentences
from analysis.sections.summary import caveats
from analysis.studies.allocation import AllocationRow
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.study import Study
from train.commands.terminal import say

MOST_REASONS = 3
"""Reasons of exclusion that are printed; the report has every run's."""


def print_fits(study: Study, advice: list[AllocationRow]) -> None:
    """What was read and the main numbers as plain lines."""
    for line in study.table.understood:
        say(line)
    excluded = study.table.excluded
    say(f"{len(study.runs)} runs fitted, {len(excluded)} excluded{_why(excluded)}")
    for name in (*study.config.approaches, RepeatedApproach.name):
        if name not in study.fits:
            if name in study.missing:
                say(f"{name:11}{study.missing[name]}")
            continue
        fit = study.fits[name]
        low, high = fit.intervals.get("a", (float("nan"), float("nan")))
        exponents = f"a {fit.a:.6g} [{low:.4g}, {high:.4g}]  b {fit.b:.6g}  "
        said = exponents if np.isfinite(fit.a) else "no exponents  "
        say(f"{name:11}{said}{fit.status} {fit.reason}".rstrip())
        for line in fit.printed if np.isfinite(fit.a) else ():
            say(f"{'':11}{line}")
    for note in caveats(study):
        say(f"note: {note}")
    for sentence in sentences(study, advice):
        say(sentence)


def _why(excluded: Sequence[Exclusion]) -> str:
    """The commonest reasons with their counts, after a colon; numbers in them tell none apart."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in excluded:
        kinds[re.sub(r"\d[\d.e+-]*", "#", row.reason)].append(row.reason)
    found = sorted(kinds.values(), key=len, reverse=True)
    said = [
        f"{len(own)} ({'' if len(set(own)) == 1 else 'such as: '}{own[0]})"
        for own in found[:MOST_REASONS]
    ]
    more = len(found) - MOST_REASONS
    rest = [f"{more} more reasons in the report"] if more > 0 else []
    return f": {'; '.join(said + rest)}" if said else ""
