"""What the report says of an ability as a whole: learnt at all, a metric's jump or a transition."""

import math
from collections.abc import Sequence

import numpy as np

from analysis.emergence.dip import LEVEL, POWER
from analysis.emergence.lengths import length_deviation
from analysis.emergence.metric_names import AXES, name_of
from analysis.emergence.seeds import MIN_RUNS, SeedStudy
from analysis.emergence.strata import Stratum
from analysis.emergence.study import AbilityStudy
from analysis.format import count_label, number
from eval.metrics.wilson import wilson

INDEPENDENT = 0.05
"""Exact match this close to p^L on average counts as tokens being right one by one."""

CLEAR = 0.05
"""A test counts as clear where its p-value is below this."""


def nothing_learnt(studies: Sequence[AbilityStudy]) -> str:
    """One sentence for an ability of which no checkpoint shows anything."""
    points = [study.ability.points("exact_match") for study in studies]
    n_models = sum(map(len, points))
    n_items = max(float(np.nanmax(one.column("n_items"))) for one in points)
    if not np.isfinite(n_items):
        return f"{studies[0].ability.question}: none of {n_models} checkpoints gave a right answer."
    bound = float(wilson(0, n_items)[1])
    return (
        f"{studies[0].ability.question}: nothing was learnt: none of {n_models} checkpoints gave "
        f"one right answer to {n_items:,.0f} items (each below {bound:.2g} at 95 %), so there is "
        f"no curve to draw."
    )


def conclusion(study: AbilityStudy) -> str:
    """Which is which: a metric that jumps over smooth tokens, or a transition of the model itself.

    A transition: seeds of one size fall into two modes. A metric: they do not, exact match is p^L
    to within `INDEPENDENT`, and p rises over more decades of N than exact match. The emergence
    score does not enter: a smooth curve that saturates scores high too.
    """
    if study.metric("exact_match") is None or not study.lengths:
        return ""
    title, mixture = study.ability.title, study.seeds.mixture if study.seeds else None
    if mixture and mixture.p_value < CLEAR:
        return (
            f"{title}: here the model itself changes abruptly. Models that differ by their seed "
            f"alone either have the ability or have it not, so no metric turns the jump into the "
            f"smooth curve of independent tokens; what rises smoothly is the share of seeds."
        )
    deviation = length_deviation(study.lengths)["geometric"]
    exact, token = (_width(study, name) for name in ("exact_match", "token_accuracy"))
    if deviation <= INDEPENDENT and token > exact:
        return (
            f"{title}: here the metric makes the jump. Token accuracy p takes {token:.2f} decades "
            f"of N to rise from 10 % to 90 % of its way, exact match {exact:.2f}, and exact match "
            f"is p^L to within {deviation:.3f} on average: all L tokens must be right, and a "
            f"longer answer makes it sharper. This is what Schaeffer et al. describe."
        )
    reasons = []
    if study.seeds_apart and mixture is None:
        reasons.append("seeds of one size end far apart, and too few were run to tell two modes")
    if deviation > INDEPENDENT:
        reasons.append(f"exact match is {deviation:.3f} from p^L on average")
    if not token > exact:
        reasons.append(
            f"token accuracy rises over {token:.2f} decades of N, exact match over {exact:.2f}"
        )
    return f"{title}: metric and model can't be told apart here: {'; '.join(reasons)}."


def _width(study: AbilityStudy, name: str) -> float:
    """Decades of N from 10 % to 90 % of a metric's rise; NaN where that was not seen."""
    metric = study.metric(name)
    return metric.transition.width if metric and metric.transition else math.nan


def seeds_paragraph(seeds: SeedStudy) -> str:
    """The distribution over seeds: shares, their score, and one mode or two."""
    counts = ", ".join(
        f"{size.n_have} of {len(size.values)} at {count_label(size.scale)}" for size in seeds.sizes
    )
    name = name_of(seeds.metric)
    if not seeds.apart:
        widest = max(size.spread for size in seeds.sizes)
        return (
            f"Seeds agree: models of one size differ in {name} by at most {widest:.2f}, so that "
            f"their mean describes them. {seeds.level:.2f} is reached by {counts}."
            + (f" {_dips(seeds)}" if seeds.dips else "")
        )
    worst = max(seeds.apart, key=lambda size: size.spread)
    text = (
        f"Seeds as a distribution: at {count_label(worst.scale)} they range from "
        f"{worst.values[0]:.2f} to {worst.values[-1]:.2f} in {name}, and no model is like their "
        f"mean, which is therefore neither drawn nor scored; scores above are those of single "
        f"seeds. {seeds.level:.2f} is reached by {counts}."
    )
    if seeds.score is not None and seeds.chance is not None:
        text += (
            f" The share of seeds that reach it has emergence score {number(seeds.score)} (95 % of "
            f"noise: {number(seeds.chance.q95)}, p = {seeds.chance.p_value:.2g})."
        )
    return f"{text} {_modes(seeds)} {_dips(seeds)}"


def _dips(seeds: SeedStudy) -> str:
    """Hartigan's test size by size, or how many seeds it lacks."""
    if not seeds.dips:
        most = max(len(size.values) for size in seeds.sizes)
        return (
            f"Hartigan's dip test asks whether the seeds of one size alone have two modes. It "
            f"needs {seeds.seeds_needed} of them to find two clear modes in {100 * POWER:.0f} % of "
            f"cases at p < {LEVEL} (simulated), and no size has more than {most}: not made."
        )
    each = ", ".join(
        f"p = {one.p_value:.2g} at {count_label(one.scale)} (dip {one.dip:.3f}, {one.n_runs} seeds)"
        for one in seeds.dips
    )
    n_tests = len(seeds.dips)
    least = min(1.0, n_tests * min(one.p_value for one in seeds.dips))
    found = "more than one mode" if least < CLEAR else "no sign of a second mode"
    several = f"; the least one times the {n_tests} tests is {least:.2g}" if n_tests > 1 else ""
    return (
        f"Hartigan's dip test of the seeds of one size, for each with {seeds.seeds_needed} or "
        f"more: {each}{several}: {found}."
    )


def _modes(seeds: SeedStudy) -> str:
    fit = seeds.mixture
    if fit is None:
        return f"Fewer than {MIN_RUNS} runs don't allow a test for two modes."
    if fit.p_value >= CLEAR:
        return (
            f"Two fixed modes explain the runs no better than one mode that moves with size "
            f"(p = {fit.p_value:.2g} over simulations)."
        )
    return (
        f"They fall into two modes, near {fit.low:.2f} and {fit.high:.2f}: against one mode that "
        f"moves with size the log-likelihood rises by {fit.log_ratio:.1f}, more than in all but "
        f"{fit.p_value:.2g} of simulations. What grows with size is the weight of the upper mode: "
        f"half of the seeds are in it at {count_label(fit.half)} "
        f"[{_end(fit.half_interval[0])}, {_end(fit.half_interval[1])}], 10 % to 90 % of them over "
        f"{fit.width:.2f} [{fit.width_interval[0]:.2f}, {fit.width_interval[1]:.2f}] decades: a "
        f"logistic in ln N with 95 % intervals of the profile likelihood (the shift of a mixture, "
        f"Zhao et al. 2025)."
    )


def _end(scale: float) -> str:
    """An interval's end; the runs may leave it open."""
    return count_label(scale) if 0 < scale < math.inf else "open"


def curves_paragraph(studies: Sequence[AbilityStudy], metrics: Sequence[str]) -> str:
    """Scores of one sweep's curves, one for each budget, beside what noise scores."""
    ability = studies[0].ability
    parts = []
    for study in studies:
        found = [metric for name in metrics if (metric := study.metric(name))]
        scores = ", ".join(
            f"{name_of(one.metric)} {number(one.score)} ({number(one.low)} to {number(one.high)})"
            for one in found
        )
        if found:
            parts.append(
                f"{study.ability.curve.label}: {found[0].n_scales} points, {scores}; 95 % of noise "
                f"scores below {number(found[0].chance.q95)}"
            )
    short = [
        f"{study.ability.curve.label} has fewer than 3"
        for study in studies
        if not any(study.metric(name) for name in metrics)
    ]
    return (
        f"{ability.question}: the sweep gives {len(studies)} curves over {AXES[ability.scale]}, "
        f"which are scored one by one, since runs of different budgets have no common order. "
        f"Emergence scores: {'; '.join([*parts, *short])}."
    )


def strata_paragraph(title: str, strata: Sequence[Stratum]) -> str:
    """How far p^k is off over all items and within strata, and whether the law holds in each."""
    everything, inside = strata[0], strata[1:]
    text = (
        f"{title}: over all items exact match of k tokens is {everything.deviation:.3f} from p^k "
        f"on average, since items differ: some continuations are certain and others hopeless"
    )
    if inside:
        each = ", ".join(f"{one.deviation:.3f} in {one.name}" for one in inside)
        text += f". Within strata by a reference model's loss it is {each}"
        mean = float(np.mean([one.deviation for one in inside]))
        text += (
            f": on average {mean:.3f}, so that "
            + ("much of the gap is" if mean < everything.deviation / 2 else "the gap is not only")
            + " heterogeneity of items. The reference's own points are chosen by its own loss"
        )
    laws = [
        f"alpha {one.alpha:.2f} (R2 {one.r_squared:.2f}) in {one.name}"
        for one in strata
        if math.isfinite(one.alpha)
    ]
    if laws:
        text += f". The law p = exp(-(N/c)^alpha): {', '.join(laws)}"
    return f"{text}."
