"""Figures of many runs that are not one curve: seeds as a distribution, one curve per budget."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.emergence.metric_names import AXES, name_of
from analysis.emergence.seeds import SeedStudy
from analysis.emergence.strata import Stratum
from analysis.emergence.study import AbilityStudy
from analysis.figures import style
from analysis.figures.emergence import chance_line, log_axis
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.hover import name_runs


def seeds_figure(study: AbilityStudy, seeds: SeedStudy) -> FigureSpec:
    """Every model's accuracy over scale, and the share of seeds that have the ability."""
    ability = study.ability
    modes = ""
    if seeds.mixture:
        modes = (
            " Dotted on the left: the two modes of the mixture; curve on the right: the weight of "
            "the upper one, with the 95 % interval of the scale at which it is a half."
        )
    return FigureSpec(
        name=f"emergence-{ability.slug}-seeds",
        figure=_seeds(study, seeds),
        alt=f"{name_of(seeds.metric)} of every model of {ability.title} by size, and the share of "
        f"seeds that reach {seeds.level:.2f}.",
        caption=f"{ability.title}, seeds as a distribution: each point on the left is a model. On "
        f"the right the share of seeds whose {name_of(seeds.metric)} reaches {seeds.level:.2f}, "
        f"with Wilson's 95 % interval.{modes}",
    )


def _seeds(study: AbilityStudy, seeds: SeedStudy) -> Figure:
    ability = study.ability
    points = ability.points(seeds.metric)
    x, y = points.column(ability.scale), points.values
    names = np.array([row.run_id for row in points.rows], dtype=object)
    with style.styled():
        figure, (left, right) = style.new_figure(2, height=3.8)
        for has, colour, text in (
            (y >= seeds.level, style.VERMILION, "has the ability"),
            (y < seeds.level, style.BLUE, "has it not"),
        ):
            dots = left.scatter(x[has], y[has], s=34, color=colour, alpha=0.7, label=text,
                                edgecolors="none")  # fmt: skip
            name_runs(dots, names[has])
        left.axhline(seeds.level, color=style.INK, linewidth=0.8, linestyle="--", label="level")
        chance_line(left, ability.chance(seeds.metric))
        left.set_ylabel(f"{name_of(seeds.metric)} of one model")
        _shares(right, seeds)
        if seeds.mixture:
            for mode in (seeds.mixture.low, seeds.mixture.high):
                left.axhline(mode, color=style.GREEN, linestyle=":", linewidth=1.2)
            grid = np.geomspace(x.min(), x.max(), 200)
            right.plot(grid, seeds.mixture.share(grid), color=style.GREEN, label="mixture's weight")
            ends = np.clip(seeds.mixture.half_interval, x.min(), x.max())
            right.plot(ends, [0.5, 0.5], color=style.GREEN, linewidth=3, alpha=0.4, marker="|")
        for axes in (left, right):
            axes.set_ylim(-0.04, 1.04)
            log_axis(axes, AXES[ability.scale])
        handles = [*zip(*left.get_legend_handles_labels(), strict=True)]
        handles += zip(*right.get_legend_handles_labels(), strict=True)
        figure.legend(*zip(*handles, strict=True), loc="outside lower center", ncols=5)
        return figure


def _shares(axes: Axes, seeds: SeedStudy) -> None:
    scales = [size.scale for size in seeds.sizes]
    shares = np.array([size.share for size in seeds.sizes])
    bounds = np.array([size.interval for size in seeds.sizes]).T
    axes.errorbar(scales, shares, np.abs(bounds - shares), fmt="o", color=style.VERMILION,
                  ecolor=style.GREY, markersize=5, linewidth=1)  # fmt: skip
    for size in seeds.sizes:
        axes.annotate(f"{size.n_have}/{len(size.values)}", (size.scale, size.share),
                      xytext=(5, 5 if size.share < 1 else -12), textcoords="offset points",
                      fontsize=8)  # fmt: skip
    axes.set_ylabel(f"share of seeds that reach {seeds.level:.2f}")


def curves_figure(studies: Sequence[AbilityStudy], metrics: Sequence[str]) -> FigureSpec:
    """Metrics over scale, one curve for each budget (or length, or size) of a sweep."""
    ability = studies[0].ability
    held = ability.curve.label.split(" = ")[0]
    return FigureSpec(
        name=f"emergence-{ability.slug}-curves",
        figure=_curves(studies, metrics),
        alt=f"{', '.join(map(name_of, metrics))} of {ability.question}, one curve for each {held}.",
        caption=f"{ability.question}: one curve for each {held}, over {AXES[ability.scale]}. "
        f"Points are models, lines join the sizes' means.",
    )


def _curves(studies: Sequence[AbilityStudy], metrics: Sequence[str]) -> Figure:
    values = np.array([study.ability.curve.value for study in studies])
    colours = style.budget_colours(values)
    with style.styled():
        figure, panels = style.new_figure(len(metrics), width=4.6 * len(metrics), height=4.0)
        for axes, metric in zip(panels, metrics, strict=True):
            for study in studies:
                _curve(axes, study, metric, colours[study.ability.curve.value])
            chance_line(axes, studies[0].ability.chance(metric))
            axes.set_ylabel(name_of(metric))
            log_axis(axes, AXES[studies[0].ability.scale])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        return figure


def _curve(axes: Axes, study: AbilityStudy, metric: str, colour: object) -> None:
    points = study.ability.points(metric)
    if not len(points):
        return
    x, y = points.column(study.ability.scale), points.values
    dots = axes.scatter(x, y, color=[colour] * len(x), s=22, zorder=3)
    name_runs(dots, [row.run_id for row in points.rows])
    label = study.ability.curve.label
    scales = np.unique(x)
    means = [float(y[x == one].mean()) for one in scales]
    axes.plot(scales, means, color=colour, linewidth=1.3, label=label)


def strata_figure(title: str, slug: str, strata: Sequence[Stratum]) -> FigureSpec:
    """Exact match of the next k tokens against p^k, over all items and within strata."""
    return FigureSpec(
        name=f"emergence-{slug}-strata",
        figure=_strata(strata),
        alt=f"Exact match against p^k of {title}, over all items and within strata.",
        caption=f"{title}: one point for each model and number of tokens k. On the diagonal tokens "
        f"are right independently and alike. Left: all items together. Right: items in strata by "
        f"a reference model's loss, stratum 1 the easiest.",
    )


def _strata(strata: Sequence[Stratum]) -> Figure:
    with style.styled():
        figure, (left, right) = style.new_figure(2, height=4.2)
        inside = strata[1:] or strata
        shades = np.linspace(0, 1, len(inside)) if len(inside) > 1 else [0.6]
        drawn = [(left, strata[0], style.GREY)]
        drawn += [(right, one, style.SCALE(s)) for one, s in zip(inside, shades, strict=True)]
        for axes, stratum, colour in drawn:
            x = [cell.geometric for cell in stratum.cells]
            y = [cell.accuracy for cell in stratum.cells]
            dots = axes.scatter(x, y, s=16, color=[colour] * len(x), label=stratum.name)
            name_runs(dots, [f"{cell.run_id}, k = {cell.length}" for cell in stratum.cells])
        for axes in (left, right):
            axes.plot([0, 1], [0, 1], color=style.INK, linewidth=0.8, linestyle="--")
            axes.set_xlabel("p^k, p the token accuracy of the model, k and stratum")
            axes.set_ylabel("exact match of k tokens")
            axes.legend(loc="best")
        return figure
