"""Figures of an ability over scale: seeds as points, means with bands, nothing fitted here."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.emergence.abilities import Ability, Points
from analysis.emergence.metric_names import AXES, name_of
from analysis.emergence.score import bootstrap_mean, mean_by
from analysis.emergence.study import AbilityStudy, TokenModel
from analysis.emergence.token_model import LengthCell, accuracy, edit_distance
from analysis.figures import style
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.hover import name_runs
from eval.metrics.per_item import LOWER_IS_BETTER
from eval.metrics.wilson import wilson

_COLOURS = {"exact_match": style.VERMILION, "token_edit_distance": style.BLUE}


def metrics_figure(study: AbilityStudy, sharp: str, smooth: str) -> FigureSpec:
    """Two metrics of the same outputs over scale: linear above, logarithmic below."""
    ability = study.ability
    return FigureSpec(
        name=f"emergence-{ability.slug}-metrics",
        figure=_metrics(ability, (sharp, smooth)),
        alt=f"{name_of(sharp)} and {name_of(smooth)} of {ability.title} against "
        f"{AXES[ability.scale]}, on linear and logarithmic scales.",
        caption=f"{ability.title}: {name_of(sharp)} and {name_of(smooth)} read off the same stored "
        f"outputs. Points are seeds with the 95 % interval over items, the line is their mean, the "
        f"band its 95 % bootstrap interval over seeds. Triangles: none of n items right, drawn at "
        f"Wilson's 95 % upper bound.",
    )


def _metrics(ability: Ability, metrics: tuple[str, str]) -> Figure:
    with style.styled():
        figure = Figure(figsize=(9.0, 6.4), layout="constrained")
        grid = figure.subplots(2, 2, sharex=True)
        for column, metric in enumerate(metrics):
            for row, log_y in enumerate((False, True)):
                axes = grid[row, column]
                _draw_metric(axes, ability, metric, ability.scale, log_y)
                axes.set_ylabel(name_of(metric) + (" (log)" if log_y else ""))
                _log_axis(axes, AXES[ability.scale] if row else "")
            grid[0, column].set_title(name_of(metric))
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
        figure=_over_axis(drawn, axis),
        alt=f"{name_of(sharp)} and {name_of(smooth)} of {ability.title} against {AXES[axis]}.",
        caption=f"{ability.title} against {AXES[axis]}: one point a checkpoint"
        + (", better models to the right." if axis == "loss" else "."),
    )


def _over_axis(drawn: dict[str, Points], axis: str) -> Figure:
    with style.styled():
        figure, panels = style.new_figure(2, height=3.6)
        for axes, (metric, points) in zip(panels, drawn.items(), strict=True):
            colours = np.log10(points.column("n_params"))
            dots = axes.scatter(points.column(axis), points.values, c=colours, s=26,
                                cmap=style.SCALE, edgecolors="none")  # fmt: skip
            name_runs(dots, [row.run_id for row in points.rows])
            axes.set_ylabel(name_of(metric))
            axes.set_xlabel(AXES[axis])
            if axis == "loss":
                axes.invert_xaxis()
            else:
                _log_axis(axes, AXES[axis])
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
            mean_x, mean_y = mean_by(x, y)
            axes.plot(mean_x, np.where(mean_y > 0, mean_y, np.nan), color=colour,
                      label=f"exact match, n = {n:,} (dotted: 1/n)")  # fmt: skip
            axes.scatter(x[y > 0], y[y > 0], color=colour, s=16)
            axes.scatter(x[y == 0], np.full((y == 0).sum(), 1 / n), color=colour, s=30, marker="v",
                         facecolors="none")  # fmt: skip
            smallest = min(smallest, 1 / n)
        exact = ability.points("answer_probability")
        if len(exact):
            x, y = exact.column(ability.scale), exact.values
            axes.scatter(x, y, color=style.BLUE, s=16, marker="D")
            axes.plot(*mean_by(x, y), color=style.BLUE, label="P(fully correct), exact")
            smallest = min(smallest, float(y[y > 0].min()))
        axes.set_yscale("log")
        axes.set_ylim(smallest / 3, 1.5)
        axes.set_ylabel("fraction or probability correct (log)")
        _log_axis(axes, AXES[ability.scale])
        axes.legend(loc="best")
        return figure


def length_figure(study: AbilityStudy) -> FigureSpec:
    """Accuracy against target length beside p^L and the product; edit distance beside L(1-p)."""
    ability = study.ability
    return FigureSpec(
        name=f"emergence-{ability.slug}-length",
        figure=_by_length(study.lengths),
        alt=f"Exact match and edit distance of {ability.title} by target length, with predictions.",
        caption=f"{study.length_source}: measured values (points, mean over seeds) by target "
        f"length. "
        f"Dashed: p^L and L(1-p) from the mean teacher-forced token accuracy p at that length. "
        f"Dotted: the product of each position's own accuracy, stop token included.",
    )


def _by_length(cells: list[LengthCell]) -> Figure:
    sizes = sorted({cell.n_params for cell in cells})
    norm = LogNorm(min(sizes), max(sizes) * 1.0001)
    with style.styled():
        figure, (left, right) = style.new_figure(2, height=4.0)
        for size in sizes:
            own = [cell for cell in cells if cell.n_params == size]
            colour = style.SCALE(norm(size))
            label = f"N = {style.count_label(size)}"
            _draw_lengths(left, own, "accuracy", ("geometric", "product"), colour, label)
            _draw_lengths(right, own, "distance", ("quasilinear",), colour, label)
        left.set_ylabel("exact match (log)")
        left.set_yscale("log")
        bottom = min(wilson(0, max(cell.n_items for cell in cells))[1], 1e-3)
        left.set_ylim(float(bottom), 1.5)
        right.set_ylabel("token edit distance")
        for axes in (left, right):
            axes.set_xlabel("target length L (tokens, stop token left out)")
            axes.set_xticks(sorted({cell.length for cell in cells}))
        for style_name, text in (("--", "p^L or L(1-p)"), (":", "product of positions")):
            left.plot([], [], linestyle=style_name, color=style.GREY, label=text)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
        return figure


def model_figure(study: AbilityStudy, model: TokenModel) -> FigureSpec:
    """Token loss with its law, and the law's predicted accuracy and edit distance."""
    ability, law = study.ability, model.law
    return FigureSpec(
        name=f"emergence-{ability.slug}-model",
        figure=_law_panels(ability, model),
        alt=f"Token loss of {ability.title} with a power law, and predicted metrics.",
        caption=f"{ability.title}: the law p = exp(-(N/c)^alpha) with alpha = {law.alpha:.3g} "
        f"fitted to the token loss (first panel), and the exact match and edit distance that it "
        f"implies for independent tokens.",
    )


def _law_panels(ability: Ability, model: TokenModel) -> Figure:
    law = model.law
    with style.styled():
        figure, panels = style.new_figure(3, width=11.0, height=3.6)
        metrics = ("token_nll", "exact_match", "token_edit_distance")
        n = ability.points("token_nll").column("n_params")
        grid = np.geomspace(n.min() / 1.5, n.max() * 1.5, 200)
        p = law.probability(grid)
        curves = (law.loss(grid), accuracy(p, model.lengths), edit_distance(p, model.lengths))
        for axes, metric, curve in zip(panels, metrics, curves, strict=True):
            points = ability.points(metric)
            colour = _COLOURS.get(metric, style.GREEN)
            dots = axes.scatter(points.column("n_params"), points.values, color=colour, s=20,
                                label=f"{name_of(metric)}, measured")  # fmt: skip
            name_runs(dots, [row.run_id for row in points.rows])
            axes.plot(grid, curve, color=style.INK, linestyle="--", label="from the token-loss law")
            axes.set_ylabel(name_of(metric))
            _log_axis(axes, AXES["n_params"])
        exact = ability.points("answer_probability")
        panels[1].scatter(exact.column("n_params"), exact.values, color=style.PURPLE, s=20,
                          marker="D", label=name_of("answer_probability"))  # fmt: skip
        panels[0].set_yscale("log")
        for axes in panels:
            axes.legend(loc="best", fontsize=7.5)
        return figure


def _draw_metric(axes: Axes, ability: Ability, metric: str, scale: str, log_y: bool) -> None:
    points = ability.points(metric)
    colour = _COLOURS.get(metric, style.GREEN)
    x, y = points.column(scale), points.values
    low, high = points.column("ci_low"), points.column("ci_high")
    shown = y > 0 if log_y else np.ones(len(y), bool)
    known = np.isfinite(low) & np.isfinite(high) & shown
    bars = np.abs(np.stack([y - low, high - y]))[:, known]
    axes.errorbar(x[known], y[known], bars, fmt="none", ecolor=colour, alpha=0.5, linewidth=1)
    look = {"color": colour, "s": 20, "alpha": 0.8, "zorder": 3}
    dots = axes.scatter(x[shown], y[shown], label="one seed", **look)
    names = np.array([row.run_id for row in points.rows], dtype=object)
    name_runs(dots, names[shown])
    if log_y and (~shown).any() and metric not in LOWER_IS_BETTER:
        top = np.where(np.isfinite(high), high, np.nan)
        none_right = axes.scatter(
            x[~shown], top[~shown], color=colour, marker="v", s=30, facecolors="none"
        )
        name_runs(none_right, names[~shown])
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
    if log_y:
        axes.set_yscale("log")


def _draw_lengths(
    axes: Axes,
    cells: list[LengthCell],
    measured: str,
    predictions: tuple[str, ...],
    colour: tuple[float, float, float, float],
    label: str,
) -> None:
    lengths = [cell.length for cell in cells]
    log_y = measured == "accuracy"
    for name, mark in zip((measured, *predictions), ("o", "--", ":"), strict=False):
        x, y = mean_by(lengths, [getattr(cell, name) for cell in cells])
        shown = np.where(y > 0, y, np.nan) if log_y else y
        own = label if name == measured else None
        axes.plot(x, shown, mark, color=colour, markersize=5, label=own)


def _on_axis(points: Points, axis: str) -> Points:
    return Points(tuple(row for row in points.rows if np.isfinite(getattr(row, axis))))


def _log_axis(axes: Axes, label: str) -> None:
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.count_label(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
