"""The figure of abilities: accuracy against the loss of the answers, the step, and predictions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from analysis.figures.style import BLUE, GREEN, GREY, INK, VERMILION, styled
from analysis.studies.ability.two_steps import AbilityPrediction, TwoSteps

COLUMNS, MOST_PANELS = 3, 9


def ability_figure(made: Sequence[TwoSteps], predictions: Sequence[AbilityPrediction]) -> Figure:
    """One panel a task, of those that have a second step."""
    shown = [one for one in made if one.second is not None][:MOST_PANELS]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    with styled():
        figure = Figure((3.4 * columns + 0.4, 3.1 * rows + 0.5), layout=ConstrainedLayoutEngine())
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, one in zip(panels, shown, strict=False):
            _draw(axes, one, [p for p in predictions if p.task == one.task])
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        named: dict[str, object] = {}
        for axes in panels:
            handles, labels = axes.get_legend_handles_labels()
            named |= dict(zip(labels, handles, strict=True))
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4)  # type: ignore[arg-type]
        return figure


def _draw(axes: Axes, made: TwoSteps, predictions: Sequence[AbilityPrediction]) -> None:
    points, second = made.points, made.second
    assert second is not None  # only such tasks are drawn
    axes.scatter(points.loss, points.accuracy, s=14, color=BLUE, label="measured", zorder=3)
    ends = [float(points.loss.max()), float(points.loss.min())]
    ends += [p.loss for p in predictions if np.isfinite(p.loss)]
    fine = np.linspace(max(ends) * 1.02, min(ends) * 0.94, 200)
    dashes = "-" if not second.reason else "--"
    axes.plot(fine, second(fine), color=GREEN, ls=dashes, label="second step")
    if made.draws is not None:
        thetas = made.draws[1]
        band = np.array([second(np.full(len(thetas), x), thetas) for x in fine])
        low, high = np.quantile(band, [0.025, 0.975], axis=1)
        axes.fill_between(fine, low, high, color=GREEN, alpha=0.18, lw=0)
    for one in predictions:
        if not np.isfinite(one.accuracy):
            continue
        low, high = one.run
        if np.isfinite(one.run).all():
            axes.plot([one.loss] * 2, [low, high], color=INK, lw=1.1)
        axes.scatter([one.loss], [one.accuracy], marker="D", s=30, color=INK, ec="white", zorder=4,
                     label="predicted (95 % of a run)")  # fmt: skip
        if np.isfinite(one.measured):
            axes.scatter([one.loss], [one.measured], marker="x", s=34, color=VERMILION, zorder=5,
                         label="measured, not fitted")  # fmt: skip
    if np.isfinite(points.chance):
        axes.axhline(points.chance, color=GREY, lw=0.9, ls=":", label="chance")
    axes.invert_xaxis()
    axes.set(xlabel=f"{points.loss_name.removeprefix(points.task + '_')}", ylabel="accuracy")
    axes.set_title(made.task)
