"""Figures of an ability over scale: seeds as points, means with bands, nothing fitted here."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.emergence.abilities import Ability, Points
from analysis.emergence.metric_names import AXES, name_of
from analysis.emergence.score import bootstrap_mean, mean_by
from analysis.emergence.study import AbilityStudy
from analysis.figures import style
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.hover import name_runs
from eval.metrics.per_item import LOWER_IS_BETTER

COLOURS = {"exact_match": style.VERMILION, "token_edit_distance": style.BLUE}


def metrics_figure(study: AbilityStudy, sharp: str, smooth: str) -> FigureSpec:
    """Two metrics of the same outputs over scale: linear above, logarithmic below."""
    ability = study.ability
    both = " and ".join(dict.fromkeys(map(name_of, (sharp, smooth))))
    return FigureSpec(
        name=f"emergence-{ability.slug}-metrics",
        figure=_metrics(study, (sharp, smooth)),
        alt=f"{both} of {ability.title} against {AXES[ability.scale]}, on linear and logarithmic "
        f"scales.",
        caption=f"{ability.title}: {both} read off the same stored outputs. Points are models "
        f"with the 95 % interval over items. {_lines(study)} Triangles: none of n items right, "
        f"drawn at Wilson's 95 % upper bound.",
    )


def _lines(study: AbilityStudy) -> str:
    """What the lines of a metric are: seeds that differ much are never averaged."""
    if study.seeds_apart:
        return (
            "Each line joins the models of one seed: seeds of one size differ too much for their "
            "mean to describe a model."
        )
    return "The line is the mean over seeds, the band its 95 % bootstrap interval."


def _metrics(study: AbilityStudy, metrics: tuple[str, str]) -> Figure:
    ability = study.ability
    with style.styled():
        # Benchmarks by name have one metric of their own (acc): it is drawn once.
        shown = list(dict.fromkeys(metrics))
        figure = Figure(figsize=(4.5 * len(shown), 6.4), layout="constrained")
        grid = figure.subplots(2, len(shown), sharex=True, squeeze=False)
        for column, metric in enumerate(shown):
            for row, log_y in enumerate((False, True)):
                axes = grid[row, column]
                _draw_metric(axes, study, metric, log_y)
                axes.set_ylabel(name_of(metric) + (" (log)" if log_y else ""))
                log_axis(axes, AXES[ability.scale] if row else "")
        grid[0, 0].legend(loc="best")
        return figure


def axis_figure(study: AbilityStudy, axis: str, sharp: str, smooth: str) -> FigureSpec | None:
    """Both metrics against loss, tokens or FLOPs; None if that axis holds fewer than 3 values."""
    ability = study.ability
    drawn = {m: _on_axis(ability.points(m, along_training=True), axis) for m in (sharp, smooth)}
    if any(len(np.unique(points.column(axis))) < 3 for points in drawn.values()):
        return None
    return FigureSpec(
        name=f"emergence-{ability.slug}-{axis}",
        figure=_over_axis(ability, drawn, axis),
        alt=f"{name_of(sharp)} and {name_of(smooth)} of {ability.title} against {AXES[axis]}.",
        caption=f"{ability.title} against {AXES[axis]}: one point a checkpoint"
        + (", better models to the right." if axis == "loss" else "."),
    )


def _over_axis(ability: Ability, drawn: dict[str, Points], axis: str) -> Figure:
    with style.styled():
        figure, panels = style.new_figure(2, height=3.6)
        for axes, (metric, points) in zip(panels, drawn.items(), strict=True):
            colours = np.log10(points.column("n_params"))
            dots = axes.scatter(points.column(axis), points.values, c=colours, s=26,
                                cmap=style.SCALE, edgecolors="none")  # fmt: skip
            name_runs(dots, [row.run_id for row in points.rows])
            axes.set_ylabel(name_of(metric))
            axes.set_xlabel(AXES[axis])
            level = ability.chance(metric)
            chance_line(axes, level)
            if np.isfinite(level):
                axes.legend(loc="best")
            if axis == "loss":
                axes.invert_xaxis()
            else:
                log_axis(axes, AXES[axis])
        bar = figure.colorbar(panels[0].collections[0], ax=panels, label="parameters N", pad=0.01)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: style.count_label(10**v)))
        style.close_seams(bar)
        return figure


def resolution_figure(study: AbilityStudy) -> FigureSpec:
    """Exact match of the same models from 100, 1,000, ... items, and the exact probability."""
    ability = study.ability
    return FigureSpec(
        name=f"emergence-{ability.slug}-resolution",
        figure=_resolutions(study),
        alt=f"Accuracy of {ability.title} measured with different numbers of items, log scale.",
        caption=f"{ability.title}: the same models measured with few and many items. Open "
        f"triangles scored exactly zero and stand at 1/n. The exact probability of a fully "
        f"correct answer at temperature 1 has no such lower limit; it is not the greedy accuracy.",
    )


def _resolutions(study: AbilityStudy) -> Figure:
    ability = study.ability
    colours = [style.GREY, style.ORANGE, style.VERMILION, style.PURPLE]
    with style.styled():
        figure, (axes,) = style.new_figure(1, width=7.2, height=4.2)
        smallest = np.inf
        for resolution, colour in zip(study.resolutions, colours, strict=False):
            n = resolution.n_items
            points = ability.points("exact_match", n_first=n)
            x, y = points.column(ability.scale), points.values
            axes.axhline(1 / n, color=colour, linestyle=":", linewidth=1)
            axes.scatter(x[y > 0], y[y > 0], color=colour, s=16,
                         label=f"exact match, n = {n:,} (dotted: 1/n)")  # fmt: skip
            if not study.seeds_apart:
                mean_x, mean_y = mean_by(x, y)
                axes.plot(mean_x, np.where(mean_y > 0, mean_y, np.nan), color=colour)
            axes.scatter(x[y == 0], np.full((y == 0).sum(), 1 / n), color=colour, s=30, marker="v",
                         facecolors="none")  # fmt: skip
            smallest = min(smallest, 1 / n)
        exact = ability.points("answer_probability")
        if len(exact):
            x, y = exact.column(ability.scale), exact.values
            axes.scatter(x, y, color=style.BLUE, s=16, marker="D", label="P(fully correct), exact")
            if not study.seeds_apart:
                axes.plot(*mean_by(x, y), color=style.BLUE)
            smallest = min(smallest, float(y[y > 0].min()))
        axes.set_yscale("log")
        chance_line(axes, ability.chance("exact_match"))
        axes.set_ylim(smallest / 3, 1.5)
        axes.set_ylabel("fraction or probability correct (log)")
        log_axis(axes, AXES[ability.scale])
        axes.legend(loc="best")
        return figure


def chance_line(axes: Axes, level: float) -> None:
    """Where an accuracy without reading the prompt lies; nothing where that is not known."""
    if np.isfinite(level) and (level > 0 or axes.get_yscale() == "linear"):
        axes.axhline(
            level, color=style.GREY, linestyle="-.", linewidth=1, label=f"chance ({level:.2g})"
        )


def _draw_metric(axes: Axes, study: AbilityStudy, metric: str, log_y: bool) -> None:
    ability, scale = study.ability, study.ability.scale
    points = ability.points(metric)
    colour = COLOURS.get(metric, style.GREEN)
    x, y = points.column(scale), points.values
    low, high = points.column("ci_low"), points.column("ci_high")
    shown = y > 0 if log_y else np.ones(len(y), bool)
    known = np.isfinite(low) & np.isfinite(high) & shown
    bars = np.abs(np.stack([y - low, high - y]))[:, known]
    axes.errorbar(x[known], y[known], bars, fmt="none", ecolor=colour, alpha=0.5, linewidth=1)
    look = {"color": colour, "s": 20, "alpha": 0.8, "zorder": 3}
    dots = axes.scatter(x[shown], y[shown], label="one model", **look)
    names = np.array([row.run_id for row in points.rows], dtype=object)
    name_runs(dots, names[shown])
    if log_y and (~shown).any() and metric not in LOWER_IS_BETTER:
        top = np.where(np.isfinite(high), high, np.nan)
        none_right = axes.scatter(
            x[~shown], top[~shown], color=colour, marker="v", s=30, facecolors="none"
        )
        name_runs(none_right, names[~shown])
    if study.seeds_apart:
        _draw_each_seed(axes, points, scale, colour, log_y)
    else:
        _draw_mean(axes, points, scale, colour, log_y)
    if log_y:
        axes.set_yscale("log")
    chance_line(axes, ability.chance(metric))


def _draw_each_seed(axes: Axes, points: Points, scale: str, colour: str, log_y: bool) -> None:
    for i, seed in enumerate(points.seeds):
        own = points.of_seed(seed)
        y = np.where(own.values > 0, own.values, np.nan) if log_y else own.values
        label = "one line per seed" if i == 0 else None
        axes.plot(own.column(scale), y, color=colour, linewidth=0.9, alpha=0.6, label=label)


def _draw_mean(axes: Axes, points: Points, scale: str, colour: str, log_y: bool) -> None:
    x, y = points.column(scale), points.values
    mean_x, mean_y = mean_by(x, y)
    positive = np.where(mean_y > 0, mean_y, np.nan) if log_y else mean_y
    axes.plot(mean_x, positive, color=colour, label="mean over seeds")
    if len(points.seeds) > 1:
        rng = np.random.default_rng(0)
        band = np.array([bootstrap_mean(y[x == one], rng) for one in mean_x])
        bottom = band[:, 0]
        if log_y:
            bottom = np.where(bottom > 0, bottom, np.nanmin(positive))
        top = np.where(np.isfinite(positive), band[:, 1], np.nan)
        axes.fill_between(mean_x, bottom, top, color=colour, alpha=0.15, linewidth=0)


def _on_axis(points: Points, axis: str) -> Points:
    return Points(tuple(row for row in points.rows if np.isfinite(getattr(row, axis))))


def log_axis(axes: Axes, label: str) -> None:
    """A logarithmic x axis whose ticks read 1k, 10k, 1M, and 2k, 5k between where it is short.

    Limits must be set before: call it last.
    """
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(style.log_locator(*axes.get_xlim()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.count_label(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
