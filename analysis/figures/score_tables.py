"""Figures of others' scores: how emergence scores spread by metric, and each task's curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from analysis.emergence.metric_names import name_of
from analysis.emergence.tables.curves import Curve, CurveScore
from analysis.emergence.tables.score_rows import Axis
from analysis.figures import style
from analysis.figures.figure_spec import FigureSpec

MOST_METRICS = 30
"""Metrics of the figure of all scores; a table of more names the others."""

MOST_PANELS = 6
MOST_LINES = 24
_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
_MARKS = ("o", "s", "^", "D")


def scores_by_metric_figure(scores: Sequence[CurveScore]) -> FigureSpec:
    """Every curve's |emergence score| by metric, beside its own null's 95 %."""
    groups: dict[str, list[CurveScore]] = {}
    for one in scores:
        groups.setdefault(one.curve.metric, []).append(one)
    chosen = sorted(groups, key=lambda m: -len(groups[m]))[:MOST_METRICS]
    left_out = len(groups) - len(chosen)
    more = f" {left_out} metrics with fewer curves are in the table alone." if left_out else ""
    return FigureSpec(
        name="scores-by-metric",
        figure=_by_metric([(name, groups[name]) for name in chosen]),
        alt=f"Emergence scores of {len(scores)} curves, by metric.",
        caption=f"|Emergence score| of each task, metric and family: one point per curve, filled "
        f"where it stands out of noise with false discoveries held at 5 %. The bar is the metric's "
        f"median. Infinite scores (most steps exactly 0) stand at the right edge.{more}",
    )


def _by_metric(groups: Sequence[tuple[str, list[CurveScore]]]) -> Figure:
    rng = np.random.default_rng(0)
    with style.styled():
        figure, (axes,) = style.new_figure(1, width=8.0, height=1.4 + 0.32 * len(groups))
        finite = [abs(o.score) for _, own in groups for o in own if 0 < abs(o.score) < np.inf]
        top = 3 * max(finite, default=10.0)
        for row, (_, own) in enumerate(groups):
            size = np.clip([abs(one.score) for one in own], 0.1, top)
            clear = np.array([one.q_value < 0.05 for one in own])
            y = row + rng.uniform(-0.28, 0.28, len(own))
            for shown, face in ((~clear, "none"), (clear, style.VERMILION)):
                axes.scatter(size[shown], y[shown], s=11, facecolors=face, linewidths=0.7,
                             edgecolors=style.VERMILION if face != "none" else style.GREY,
                             rasterized=False)  # fmt: skip
            axes.plot([np.median(size)] * 2, [row - 0.38, row + 0.38], color=style.INK)
        axes.set_xscale("log")
        axes.set_xlim(0.08, top * 1.3)
        axes.set_yticks(range(len(groups)), [f"{name_of(m)} ({len(own)})" for m, own in groups])
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.set_xlabel("|emergence score|")
        return figure


def task_figure(name: str, title: str, curves: Sequence[Curve], axis: Axis) -> FigureSpec:
    """One panel per metric, one line per family (and shots); each metric under its own name."""
    metrics = list(dict.fromkeys(curve.metric for curve in curves))
    shown = metrics[:MOST_PANELS]
    labels = list(dict.fromkeys(_label(curve, curves) for curve in curves))
    drawn = labels[:MOST_LINES]
    cut = "".join(
        f" Not drawn: {len(all_) - len(some)} more {what}."
        for what, all_, some in (("metrics", metrics, shown), ("lines", labels, drawn))
        if len(all_) > len(some)
    )
    return FigureSpec(
        name=name,
        figure=_panels(shown, drawn, curves, axis),
        alt=f"{title}: {', '.join(map(name_of, shown))} against {axis.label}.",
        caption=f"{title} by {', '.join(map(name_of, shown))}: the same models under each metric. "
        f"Points are rows of the table with their intervals where it has them, lines join scales "
        f"(means over seeds where seeds are named), dotted lines are chance.{cut}",
    )


def _label(curve: Curve, among: Sequence[Curve]) -> str:
    """What tells a line from the others of its figure: only parts that differ there."""
    parts = []
    if len({one.family for one in among}) > 1:
        parts.append(curve.family or "no family")
    if len({str(one.n_shots) for one in among}) > 1:
        parts.append(f"{curve.n_shots:g} shots")
    if len({str(one.target_length) for one in among}) > 1:
        parts.append(f"L = {curve.target_length:g}")
    if len({one.split for one in among}) > 1:
        parts.append(curve.split)
    return ", ".join(parts)


def _panels(
    metrics: Sequence[str], labels: Sequence[str], curves: Sequence[Curve], axis: Axis
) -> Figure:
    columns = min(3, len(metrics))
    n_rows = -(-len(metrics) // columns)
    lengths = sorted({c.target_length for c in curves if np.isfinite(c.target_length)})
    with style.styled():
        figure = Figure((3.6 * columns + 0.6, 3.0 * n_rows + 0.8), layout="constrained")
        grid = figure.subplots(n_rows, columns, squeeze=False).ravel()
        for axes, metric in zip(grid, metrics, strict=False):
            for curve in curves:
                label = _label(curve, curves)
                if curve.metric == metric and label in labels:
                    place = labels.index(label)
                    by_length = len(lengths) > 1 and np.isfinite(curve.target_length)
                    colour = (
                        style.SCALE(lengths.index(curve.target_length) / (len(lengths) - 1))
                        if by_length
                        else _COLOURS[place % len(_COLOURS)]
                    )
                    mark = _MARKS[place // len(_COLOURS) % len(_MARKS)]
                    _draw(axes, curve, axis, colour, mark, label)
            known = {
                round(c.chance, 6) for c in curves if c.metric == metric and c.chance == c.chance
            }
            for chance in sorted(known)[:5]:
                axes.axhline(chance, color=style.GREY, linestyle=":", linewidth=1)
            axes.set_ylabel(name_of(metric))
            if axis.label != "validation loss (nats/token)":
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: style.count_label(v)))
                # Minor ticks of a log axis take longer to lay out than all that is drawn.
                axes.xaxis.set_minor_locator(NullLocator())
            else:
                axes.invert_xaxis()
            axes.set_xlabel(axis.label)
        for axes in grid[len(metrics) :]:
            axes.set_visible(False)
        if len(labels) > 1:
            found = {}
            for axes in grid[: len(metrics)]:
                for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                    found.setdefault(label, handle)
            figure.legend(found.values(), found.keys(), loc="outside lower center",
                          ncols=min(6, len(found)))  # fmt: skip
        return figure


def _draw(axes: Axes, curve: Curve, axis: Axis, colour: Any, mark: str, label: str) -> None:
    points = curve.points
    x = points[axis.column].to_numpy(dtype=float)
    y, low, high = (points[n].to_numpy(dtype=float) for n in ("value", "ci_low", "ci_high"))
    known = np.isfinite(low) & np.isfinite(high)
    if known.any():
        bars = np.abs(np.stack([y - low, high - y]))[:, known]
        axes.errorbar(x[known], y[known], bars, fmt="none", ecolor=colour, alpha=0.5, linewidth=1)
    if len(points) > len(curve.x):
        axes.plot(x, y, mark, color=colour, markersize=3, alpha=0.5)
    axes.plot(curve.x, curve.y, f"{mark}-", color=colour, markersize=4, label=label)
