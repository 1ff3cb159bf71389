"""Bits per byte of texts by domain, over N, D and C."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from analysis.emergence.metric_names import AXES
from analysis.emergence.rows import EvalRow
from analysis.figures import style
from analysis.figures.emergence import log_axis
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.hover import name_runs

_COLOURS = (
    style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY, style.GREY,
)  # fmt: skip
SCALES = ("n_params", "n_tokens", "flops")


def text_figure(rows: Sequence[EvalRow], form: str) -> FigureSpec:
    """One colour for each domain; the line joins the best model up to each N, D or C."""
    domains = list(dict.fromkeys(row.operands for row in rows))
    return FigureSpec(
        name="text-bits-per-byte",
        figure=_figure(rows, domains),
        alt=f"Bits per byte of {', '.join(domains)} against parameters, tokens and FLOPs.",
        caption=f"Bits per byte by domain ({form}): each point is a model, bars are 95 % intervals "
        f"over documents, lines join the best model up to each size, length or compute.",
    )


def _figure(rows: Sequence[EvalRow], domains: Sequence[str]) -> Figure:
    with style.styled():
        figure, panels = style.new_figure(3, width=11.0, height=4.0)
        for axes, scale in zip(panels, SCALES, strict=True):
            for i, domain in enumerate(domains):
                own = sorted((r for r in rows if r.operands == domain),
                             key=lambda r: getattr(r, scale))  # fmt: skip
                colour = _COLOURS[i % len(_COLOURS)]
                x = np.array([getattr(row, scale) for row in own])
                y = np.array([row.value for row in own])
                bars = np.array([[r.value - r.ci_low, r.ci_high - r.value] for r in own]).T
                axes.errorbar(x, y, np.nan_to_num(np.abs(bars)), fmt="none", ecolor=colour,
                              alpha=0.4, linewidth=1)  # fmt: skip
                dots = axes.scatter(x, y, s=16, color=colour, label=domain)
                name_runs(dots, [row.run_id for row in own])
                axes.plot(x, np.minimum.accumulate(y), color=colour, linewidth=1)
            axes.set_ylabel("bits per byte")
            log_axis(axes, AXES[scale])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
        return figure


class Gain(NamedTuple):
    """Bits per byte of one model less those of another, with a 95 % interval (NaN: not known)."""

    value: float
    low: float
    high: float


def gain_figure(names: tuple[str, str], gains: Sequence[tuple[str, Gain]]) -> FigureSpec:
    """One bar per domain, as in Hoffmann et al. 2022, figure 5."""
    first, second = names
    with style.styled():
        figure, (axes,) = style.new_figure(1, width=7.2, height=1.1 + 0.28 * len(gains))
        values = np.array([gain.value for _, gain in gains])
        bars = np.array([[g.value - g.low, g.high - g.value] for _, g in gains]).T
        rows = np.arange(len(gains))
        colours = np.where(values < 0, style.BLUE, style.VERMILION)
        axes.barh(rows, values, color=colours.tolist(), height=0.6)
        axes.errorbar(values, rows, xerr=np.nan_to_num(bars), fmt="none", ecolor=style.INK,
                      linewidth=1)  # fmt: skip
        axes.axvline(0, color=style.INK, linewidth=0.8)
        axes.set_yticks(rows, [domain for domain, _ in gains])
        axes.set_ylim(len(gains) - 0.4, -0.6)
        axes.set_xlabel(f"bits per byte of {first} less those of {second}")
    return FigureSpec(
        name="text-bits-per-byte-difference",
        figure=figure,
        alt=f"Difference of bits per byte between {first} and {second} by domain.",
        caption=f"Best model of {first} against that of {second}, domain by domain: to the left "
        f"{first} needs fewer bits. Lines are 95 % intervals.",
    )
