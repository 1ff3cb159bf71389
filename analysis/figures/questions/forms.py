"""The figure of a rolling hold-out: errors of the next group at each step, and by distance."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    log_ticks,
    new_figure,
    styled,
)
from analysis.studies.forms.averaging import AVERAGE
from analysis.studies.forms.rolling import DISTANCES
from analysis.studies.forms.study import FormErrors, FormStudy

SHOWN = "Huber, log"
"""The objective whose forms are drawn; the table has all of them."""

STYLES = {
    "additive": (GREEN, "--"),
    "tied": (BLUE, "-"),
    "interaction": (ORANGE, ":"),
    "kaplan": (PURPLE, "-."),
    "broken": (SKY, (0, (5, 1))),
    "data-constrained": (VERMILION, (0, (1, 1))),
    AVERAGE: (INK, "-"),
}


def forms_figure(made: FormStudy) -> Figure:
    """Errors of each form under the usual objective, and of the average of all candidates."""
    with styled():
        figure, (left, right) = new_figure(2, width=10, height=4.2)
        unit = "C (FLOPs)" if made.rolling.by == "flops" else "N"
        rows = {row.name.removesuffix(f", {SHOWN}"): row for row in made.rows}
        for name, (colour, dashes) in STYLES.items():
            if name in rows and not rows[name].reason:
                _draw(left, right, made, name, rows[name], colour, dashes)
        left.set(xscale="log", yscale="log", xlabel=f"largest {unit} fitted")
        left.set(ylabel="rms error of log loss (%)", title="The next group, at each step")
        right.set(yscale="log", xlabel=f"how far beyond the fitted runs (factor in {unit[0]})")
        right.set_title("By distance, all steps")
        right.set_xticks(range(len(DISTANCES) - 1), class_labels())
        for axes in (left, right):
            _percent_ticks(axes)
        log_ticks(left, "x")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=7)
        return figure


def _draw(
    left: Axes, right: Axes, made: FormStudy, name: str, row: FormErrors, colour: str, dashes
) -> None:
    wide = 2.4 if name == AVERAGE else 1.5
    steps, classes = 100 * np.array(row.steps), 100 * np.array(row.by_distance)
    left.plot(made.rolling.cuts, steps, color=colour, ls=dashes, lw=wide, marker="o", ms=4,
              label=name)  # fmt: skip
    right.plot(range(len(classes)), classes, color=colour, ls=dashes, lw=wide, marker="o", ms=4)


def class_labels() -> list[str]:
    """Classes of distance in words."""
    ends = itertools.pairwise(DISTANCES)
    return [f"{low:g} to {high:g}" if np.isfinite(high) else f"> {low:g}" for low, high in ends]


def _percent_ticks(axes: Axes) -> None:
    low, high = axes.get_ylim()
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= t <= high]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_yticks([], minor=True)
