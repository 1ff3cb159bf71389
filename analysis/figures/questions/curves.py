"""Whole loss curves and the law through them; envelopes of losses inside runs and of ends."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.run_arrays import Curves
from analysis.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    log_ticks,
    new_figure,
    styled,
)
from analysis.fits.curve_law.fit import thinned
from analysis.fits.curve_law.path import LossCurve, past_of
from analysis.format import count_label
from analysis.studies.curves.study import CurveStudy, predicted

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

MOST_DRAWN = 6
"""Curves a panel can hold apart."""


def draw_curves(study: CurveStudy, unit: str) -> Figure:
    """Curves that were fitted, beside curves that were not: points measured, lines the law."""
    fitted = {one.name for one in study.errors if one.fitted}
    known = [curve for curve in study.curves if curve.size in study.law.levels]
    groups = [[c for c in known if c.name in fitted], [c for c in known if c.name not in fitted]]
    shown = [group for group in groups if group]
    titles = [t for t, group in zip(("Fitted", "Predicted"), groups, strict=True) if group]
    with styled():
        figure, panels = new_figure(len(shown), width=5.2 * len(shown), height=4.2)
        for axes, group, title in zip(panels, shown, titles, strict=True):
            _draw(axes, study, _some(group))
            axes.set(xscale="log", xlabel="tokens (or steps)", ylabel=f"training loss ({unit})")
            axes.set_title(f"{title}: points measured, lines the law")
            log_ticks(axes, "x")
            axes.legend()
        return figure


def draw_envelopes(inside: Curves, ends: Curves, unit: str) -> Figure:
    """Least losses inside schedules and of runs that ended, against compute."""
    with styled():
        figure, (axes,) = new_figure(1, width=6.4, height=4.0)
        axes.plot(inside.flops, inside.loss, color=GREY, ls=":", label="inside schedules")
        axes.plot(ends.flops, ends.loss, color=BLUE, label="ends, by the law")
        axes.set(xscale="log", xlabel="compute C (FLOPs)", ylabel=f"least loss ({unit})")
        log_ticks(axes, "x")
        axes.legend()
        return figure


def _draw(axes: Axes, study: CurveStudy, curves: Sequence[LossCurve]) -> None:
    for curve, label, colour in zip(curves, labels(curves), cycle(COLOURS), strict=False):
        past, loss = thinned(curve)
        tokens = np.interp(past.age, *_clock(curve))
        axes.scatter(tokens, loss, s=9, color=colour, alpha=0.6, lw=0)
        fine = np.geomspace(tokens[0], tokens[-1], 200)
        axes.plot(fine, predicted(study.law, curve, fine), color=colour, lw=1.4, label=label)
    axes.tick_params(colors=INK)


def labels(curves: Sequence[LossCurve]) -> list[str]:
    """What tells curves apart for people: sizes and lengths, or names where those are not known or
    do not tell them apart.
    """
    found = [f"{count_label(c.size)}, {count_label(c.n_tokens[-1])} tokens" for c in curves]
    if len(set(found)) == len(found) and all(curve.size > 1 for curve in curves):
        return found
    names = [curve.name for curve in curves]
    short = [name if len(name) <= 24 else f"{name[:22]}..." for name in names]
    return [name.replace("$", r"\$") for name in short]


def _clock(curve: LossCurve) -> tuple[np.ndarray, np.ndarray]:
    """Ages and the tokens at which they were reached."""
    ages = past_of(curve.n_tokens, curve.lr).age
    return ages, curve.n_tokens


def _some(curves: Sequence[LossCurve]) -> list[LossCurve]:
    order = sorted(curves, key=lambda curve: (curve.size, curve.n_tokens[-1]))
    rows = np.unique(np.linspace(0, len(order) - 1, min(MOST_DRAWN, len(order))).astype(int))
    return [order[int(i)] for i in rows]
