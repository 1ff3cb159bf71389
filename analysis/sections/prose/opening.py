"""The report's first three sentences: what to train, how sure that is, and what to run next."""

import numpy as np

from analysis.errors import FitError
from analysis.figures.style import count_span
from analysis.format import count_label, number, span
from analysis.studies.allocation import AllocationRow, allocate
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.fit_config import APPROACHES
from analysis.studies.study import Study

FURTHER = 4.0
"""Compute of the next budget over the largest fitted: as far as `isoflop sweep validate` goes."""

WIDE = 10.0
"""Upper over lower end of an interval of N that leaves it open what to train."""


def decision(study: Study, advice: list[AllocationRow]) -> str:
    """The sentences in one piece."""
    return " ".join(sentences(study, advice))


def sentences(study: Study, advice: list[AllocationRow]) -> list[str]:
    """What to train, how sure, and what to run next; or why the runs can't say, and which would."""
    best = _headline_row(study, advice)
    if best is None:
        return [undetermined(study)]
    return [_what(study, best), _how_sure(study), _what_next(study, best)]


def _what(study: Study, best: AllocationRow) -> str:
    ratio = f"{number(best.tokens_per_param, 2)} tokens per parameter"
    within = (
        f" (95 % interval {count_span(best.n_interval)})" if np.isfinite(best.n_interval[0]) else ""
    )
    new = "new " if study.repeats_data else ""
    return (
        f"With {number(best.flops)} FLOPs, train {count_label(best.n_opt)} parameters{within} on "
        f"{count_label(best.d_opt)} {new}tokens, {ratio}{_beyond(best)}."
    )


def _how_sure(study: Study) -> str:
    """The exponent with its interval, what the other approaches say, and the left-out error."""
    fit = study.preferred
    if fit is None:
        return ""
    others = [
        (name, number(other.a, 2))
        for name, other in study.deciding.items()
        if name != fit.name and np.isfinite(other.a)
    ]
    said = ""
    if len(others) == 1:
        said = f"; {' says '.join(others[0])}"
    elif others:
        said = f"; the other approaches say {' and '.join(map(' '.join, others))}"
    left_out = ""
    held = study.holdout
    if held is not None and held.every_run is not None and held.every_run.rms is not None:
        by = "" if held.every_run.law == fit.name else f", {held.every_run.law}"
        error = f"{100 * held.every_run.rms:.2g} % (rms{by})"
        runs = (
            "runs of the largest budget"
            if held.of_budget
            else f"the {held.n_held} runs of most compute"
        )
        left_out = f"; {runs}, left out, are predicted to {error}"
    return (
        f"As compute grows, N should grow as C to the power {number(fit.a, 2)} "
        f"({span(fit.intervals.get('a'), 2)}){said}{left_out}."
    )


def _what_next(study: Study, headline: AllocationRow) -> str:
    """Runs that would bracket a minimum that is open; else a budget beyond, which tests it all.

    Where runs share no budgets and leave N wide open, budgets within them say most for their cost.
    """
    wanted = proposals(study)
    low, high = headline.n_interval
    if wanted and (study.find(IsoflopApproach) is not None or high > WIDE * low):
        return f"To be surer, run {'; '.join(wanted)}."
    flops = float(f"{FURTHER * np.max(study.runs.flops):.2g}")
    try:
        rows = allocate(study, [flops])
    except FitError:
        rows = []
    best = next(
        (row for row in rows if study.preferred and row.approach == study.preferred.name), None
    )
    if best is None or not np.isfinite(best.n_opt):
        return f"To be surer, run several sizes at {number(flops)} FLOPs."
    sizes = f"{count_label(best.n_opt / 4)} to {count_label(4 * best.n_opt)}"
    largest = "the largest budget" if _ends_in_a_budget(study) else "the compute of the largest run"
    return (
        f"To be surer, run five sizes from {sizes} parameters at {number(flops)} FLOPs, "
        f"{number(FURTHER)} times {largest}: that tests the law and narrows its exponent."
    )


def _ends_in_a_budget(study: Study) -> bool:
    """Whether the largest run is one of several of its compute, not a single one above them."""
    runs = study.runs
    budgets, n_runs = np.unique(runs.budget[np.isfinite(runs.budget)], return_counts=True)
    return len(budgets) > 1 and n_runs[-1] > 1 and runs.flops.max() < 1.1 * budgets[-1]


def _headline_row(study: Study, advice: list[AllocationRow]) -> AllocationRow | None:
    """The largest budget within the runs' compute, or the first of those beyond it."""
    if study.preferred is None:
        return None
    rows = [row for row in advice if row.approach == study.preferred.name]
    within = [row for row in rows if "C" not in row.beyond]
    return within[-1] if within else next(iter(rows), None)


def _beyond(row: AllocationRow) -> str:
    if not row.beyond:
        return ""
    factors = ", ".join(
        f"{name} by {number(factor, 2)} times" for name, factor in row.beyond.items()
    )
    return f" (an extrapolation beyond the runs, in {factors})"


def undetermined(study: Study) -> str:
    """That the runs do not tell, why by each approach, and which runs would."""
    reasons = [
        f"{name}: {'; '.join(fit.objections)}"
        for name, fit in study.deciding.items()
        if fit.objections
    ]
    names = (RepeatedApproach.name, *APPROACHES)
    reasons += [f"{name}: {study.missing[name]}" for name in names if name in study.missing]
    why = f" ({'. '.join(reasons)})" if reasons else ""
    wanted = proposals(study)
    would = f" These would: {'; '.join(wanted)}." if wanted else ""
    return f"These runs do not determine a compute-optimal size{why}.{would}"


LEAST_SPREAD = 10.0
"""Largest over smallest budget that is asked for: a power law over less is mostly noise."""

MOST_PROPOSALS = 4
"""Budgets whose missing runs the headline names; the caveats have them all."""


def proposals(study: Study) -> list[str]:
    """Runs that would bracket the minima that are not, in words, the largest budgets first."""
    isoflop = study.find(IsoflopApproach)
    if isoflop is None:
        runs = study.runs
        low, high = (float(f(runs.flops)) for f in (np.min, np.max))
        return [
            f"at least 5 sizes, a factor of 2 apart, at each of 3 budgets between "
            f"{number(low)} and {number(max(high, LEAST_SPREAD * low))} FLOPs"
        ]
    open_ended = [p for p in isoflop.fit.profiles if not p.bracketed and len(p.propose)]
    return [
        f"N = {' and '.join(count_label(n) for n in profile.propose)} at "
        f"{number(profile.flops)} FLOPs"
        for profile in sorted(open_ended, key=lambda p: -p.flops)[:MOST_PROPOSALS]
    ]
