"""Figures of tokens: by target length and size, beside what independent tokens would give."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from analysis.emergence.abilities import Ability
from analysis.emergence.metric_names import AXES, name_of
from analysis.emergence.score import mean_by
from analysis.emergence.study import AbilityStudy, TokenModel
from analysis.emergence.token_model import LengthCell, accuracy, edit_distance
from analysis.figures import style
from analysis.figures.emergence import COLOURS, chance_line, log_axis
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.hover import name_runs
from eval.metrics.wilson import wilson


def tokens_figure(study: AbilityStudy) -> FigureSpec:
    """Over N, by target length L: token accuracy p, exact match beside p^L, distance by L(1-p)."""
    ability = study.ability
    return FigureSpec(
        name=f"emergence-{ability.slug}-tokens",
        figure=_over_size(study),
        alt=f"Token accuracy, exact match and edit distance of {ability.title} over size, for "
        f"each target length, with p^L and L(1-p).",
        caption=f"{study.length_source}: one set of outputs, three metrics, each target length L. "
        f"Points: measured. Dashed, or crosses where seeds differ much: p^L and L(1-p) from the "
        f"token accuracy p on the left. Dash-dotted: chance, of each L in the middle.",
    )


def _over_size(study: AbilityStudy) -> Figure:
    cells = study.lengths
    lengths = sorted({cell.length for cell in cells})
    shades = np.linspace(0, 1, len(lengths)) if len(lengths) > 1 else [0.6]
    with style.styled():
        figure, panels = style.new_figure(3, width=11.0, height=3.9)
        for length, shade in zip(lengths, shades, strict=True):
            own = [cell for cell in cells if cell.length == length]
            n = np.array([cell.n_params for cell in own])
            colour = style.SCALE(shade)
            pairs = (("token_accuracy", None), ("accuracy", "geometric"),
                     ("distance", "quasilinear"))  # fmt: skip
            for axes, (measured, predicted) in zip(panels, pairs, strict=True):
                y = np.array([getattr(cell, measured) for cell in own])
                dots = axes.scatter(n, y, color=colour, s=18, label=f"L = {length}", zorder=3)
                name_runs(dots, [cell.run_id for cell in own])
                if predicted is None:
                    _line_of_means(axes, study, n, y, colour, "-")
                else:
                    z = np.array([getattr(cell, predicted) for cell in own])
                    _line_of_means(axes, study, n, z, colour, "--")
            level = max((c.chance for c in own if np.isfinite(c.chance)), default=np.nan)
            if np.isfinite(level):
                panels[1].axhline(level, color=colour, linestyle="-.", linewidth=0.7)
        chance_line(panels[0], study.ability.chance("token_accuracy"))
        mark = "crosses" if study.seeds_apart else "dashed"
        titles = (
            "per-token accuracy p",
            f"exact match ({mark}: p^L)",
            f"edit distance ({mark}: L(1-p))",
        )
        for axes, title in zip(panels, titles, strict=True):
            axes.set_title(title)
            log_axis(axes, AXES["n_params"])
        panels[0].set_ylabel("share of tokens right")
        panels[1].set_ylabel("share of answers right")
        panels[2].set_ylabel("tokens")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
        return figure


def _line_of_means(
    axes: Axes, study: AbilityStudy, n: np.ndarray, y: np.ndarray, colour: object, line: str
) -> None:
    """A line through the sizes' means; where seeds are apart, each model's own value as a cross."""
    if study.seeds_apart:
        if line == "--":
            axes.plot(n, y, "x", color=colour, markersize=5, alpha=0.8)
    else:
        axes.plot(*mean_by(n, y), line, color=colour, linewidth=1.2)


def length_figure(study: AbilityStudy) -> FigureSpec:
    """Accuracy against target length beside p^L and the product; edit distance beside L(1-p)."""
    ability = study.ability
    return FigureSpec(
        name=f"emergence-{ability.slug}-length",
        figure=_by_length(study.lengths),
        alt=f"Exact match and edit distance of {ability.title} by target length, with predictions.",
        caption=f"{study.length_source}: measured values (points) by target length, one model "
        f"after another. Grey: chance. "
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
            label: str | None = f"N = {style.count_label(size)}"
            for run_id in dict.fromkeys(cell.run_id for cell in own):
                run = [cell for cell in own if cell.run_id == run_id]
                _draw_lengths(left, run, "accuracy", ("geometric", "product"), colour, label)
                _draw_lengths(right, run, "distance", ("quasilinear",), colour, label)
                label = None
        known = {cell.length: cell.chance for cell in cells if cell.chance > 0}
        if known:
            left.plot(*zip(*sorted(known.items()), strict=True), "-.", color=style.GREY,
                      linewidth=1, label="chance")  # fmt: skip
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
            colour = COLOURS.get(metric, style.GREEN)
            dots = axes.scatter(points.column("n_params"), points.values, color=colour, s=20,
                                label=f"{name_of(metric)}, measured")  # fmt: skip
            name_runs(dots, [row.run_id for row in points.rows])
            axes.plot(grid, curve, color=style.INK, linestyle="--", label="from the token-loss law")
            axes.set_ylabel(name_of(metric))
            log_axis(axes, AXES["n_params"])
        exact = ability.points("answer_probability")
        panels[1].scatter(exact.column("n_params"), exact.values, color=style.PURPLE, s=20,
                          marker="D", label=name_of("answer_probability"))  # fmt: skip
        panels[0].set_yscale("log")
        chance_line(panels[1], ability.chance("exact_match"))
        for axes in panels:
            axes.legend(loc="best", fontsize=7.5)
        return figure


def _draw_lengths(
    axes: Axes,
    cells: list[LengthCell],
    measured: str,
    predictions: tuple[str, ...],
    colour: tuple[float, float, float, float],
    label: str | None,
) -> None:
    """One model's measured values and predictions over the target length."""
    x = [cell.length for cell in cells]
    log_y = measured == "accuracy"
    for name, mark in zip((measured, *predictions), ("o", "--", ":"), strict=False):
        y = np.array([getattr(cell, name) for cell in cells])
        shown = np.where(y > 0, y, np.nan) if log_y else y
        own = label if name == measured else None
        axes.plot(x, shown, mark, color=colour, markersize=5, label=own)
