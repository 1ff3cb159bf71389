"""What an intervention is worth in words, a table and a figure: compare=[A,B], and recipes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.questions.multiplier import draw_multiplier
from analysis.format import number, span
from analysis.report.document import Section, TableSpec
from analysis.studies.multiplier.multiplier import ComputeMultiplier, MultiplierPoint
from analysis.studies.multiplier.recipes import RecipeMultipliers

TITLE = "What the second is worth"

RECIPE_TITLE = "What each recipe is worth"

ROWS = 5
"""Amounts of compute in the table, beside those that were asked for."""


def conclusion(names: Sequence[str], made: Sequence[ComputeMultiplier]) -> str:
    """The multiplier with its interval, its test and its compute, or why there is none."""
    first, second = names
    found = next((one for one in made if one.headline is not None), None)
    if found is None or found.headline is None:
        reasons = "; ".join(
            f"{one.approach}: {one.reason}" if one.approach else one.reason for one in made
        )
        return f"What {second} is worth over {first} in compute can't be said: {reasons}."
    head = found.headline
    if found.differs:
        worth, less = (head.value, "less") if head.value >= 1 else (1 / head.value, "more")
        low, high = head.interval if head.value >= 1 else (1 / head.interval[1],
                                                           1 / head.interval[0])  # fmt: skip
        told = (
            f"{second} needs {number(worth)} times {less} compute than {first} "
            f"({span((low, high))}) for the loss that {first} reaches with"
        )
    else:
        told = (
            f"These runs do not tell {second} from {first} in compute: a multiplier of "
            f"{number(head.value)} ({span(head.interval)}) for the loss that {first} reaches with"
        )
    return f"{told} {number(head.flops)} FLOPs ({_p(head)}, by approach {found.approach})."


def multiplier_section(
    names: Sequence[str],
    made: Sequence[ComputeMultiplier],
    unit: str = "nats/token",
    title: str = TITLE,
    stem: str = "multiplier",
) -> Section:
    """The multiplier of each approach, at which compute, with interval and test."""
    first, second = names
    text = [conclusion(names, made)]
    found = next((one for one in made if one.headline is not None), None)
    if found is None:
        return Section(title, text)
    text.append(
        f"A multiplier of 2 says that {second} reaches with half the compute the least loss that "
        f"{first} reaches with all of it, each at its own best size. Intervals and p (of no "
        f"difference) are over resamples of the runs of both; {found.n_shared} cells (size, "
        f"tokens, seed) are in both and were drawn together."
    )
    text.append(_trend(found))
    text += [
        f"By approach {one.approach} there is none: {one.reason}."
        for one in made if one.headline is None
    ]  # fmt: skip
    columns = ["approach", f"C of {first}", "loss", f"C of {second}", "multiplier", "95 %", "p",
               "loss at equal C", "95 %"]  # fmt: skip
    rows = [_row(one, point) for one in made for point in _shown(one)]
    figure = FigureSpec(
        stem,
        draw_multiplier(names, found, unit),
        f"Least loss against compute of {first} and {second}; beside it the ratio of the compute "
        f"that they need for equal losses, with its interval.",
        f"By approach {found.approach}: the arrow leads from the compute of {first} to that with "
        f"which {second} reaches the same loss. Right: the multiplier where both ran, 95 %.",
    )
    note = " (* beyond the compute that ran)" if any(p.beyond > 1.05 for one in made
                                                     for p in one.asked) else ""  # fmt: skip
    return Section(title, text, [figure], [TableSpec(f"Compute multipliers{note}", columns, rows)])


def _trend(made: ComputeMultiplier) -> str:
    low, high = made.trend_interval
    said = (
        f"Over the range that both ran it changes as C^{number(made.trend)} ({span((low, high))})"
    )
    if np.isnan(low):
        return f"{said}."
    if low <= 0 <= high:
        return f"{said}: whether it grows or shrinks with compute, these runs do not tell."
    return f"{said}: it {'grows' if low > 0 else 'shrinks'} with compute."


def _shown(made: ComputeMultiplier) -> list[MultiplierPoint]:
    places = (
        np.unique(np.linspace(0, len(made.points) - 1, ROWS).astype(int)) if made.points else []
    )
    return [*(made.points[int(i)] for i in places), *made.asked]


def _row(made: ComputeMultiplier, point: MultiplierPoint) -> list[str]:
    return [
        made.approach,
        number(point.flops) + (" *" if point.beyond > 1.05 else ""),
        number(point.loss, 4),
        number(point.equal_flops),
        number(point.value),
        span(point.interval),
        number(point.p_value, 2),
        f"{100 * point.loss_ratio:+.2f} %",
        span((100 * point.loss_interval[0], 100 * point.loss_interval[1])),
    ]


def _p(point: MultiplierPoint) -> str:
    return f"p = {number(point.p_value, 2)} for no difference"


def recipe_section(made: RecipeMultipliers, unit: str) -> Section:
    """Each recipe's worth over the first, with the figure of the last one that has any."""
    text = [conclusion(names, found) for names, found in made.items()]
    rows = [
        [names[1], *_row(one, point)]
        for names, found in made.items()
        for one in found
        for point in _shown(one)
    ]
    known = [names for names, found in made.items() if found[0].headline is not None]
    sections = [multiplier_section(n, made[n], unit, stem="recipe_multiplier") for n in known[-1:]]
    figures = [figure for section in sections for figure in section.figures]
    first = next(iter(made))[0]
    columns = ["recipe", "approach", f"C of {first}", "loss", "its C", "multiplier", "95 %", "p",
               "loss at equal C", "95 %"]  # fmt: skip
    table = TableSpec(f"Compute multipliers over {first}", columns, rows)
    return Section(RECIPE_TITLE, text, figures, [table] if rows else [])


def recipes_json(made: RecipeMultipliers) -> list[dict[str, Any]]:
    """What fits.json says of recipes."""
    return [
        {"first": names[0], "second": names[1], "multipliers": [one.to_json() for one in found]}
        for names, found in made.items()
    ]
