"""Figures of recipes side by side: their exponents with intervals, and their IsoFLOP profiles."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from analysis.figures.hover import name_runs
from analysis.figures.style import (
    APPROACH_COLOURS,
    GREY,
    INK,
    budget_colours,
    log_ticks,
    new_figure,
    power_label,
    styled,
)
from analysis.stats.resampling import Interval
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.recipes import RecipeFit

MOST_COLUMNS = 3


def forest(fits: Sequence[RecipeFit], published: Sequence[float | None]) -> Figure:
    """The exponent a of each recipe, first at the top, by approaches 2 and 3 with 95 % intervals.

    `published` are others' exponents for the same step, drawn as crosses, None where there is none.
    """
    with styled():
        figure, (axes,) = new_figure(1, 8.0, 1.4 + 0.55 * len(fits))
        for row, (fit, known) in enumerate(zip(fits, published, strict=True)):
            if fit.isoflop is not None:
                _place(axes, row - 0.12, fit.isoflop.a, _interval(fit.isoflop), "isoflop")
            if fit.parametric is not None and fit.parametric.usable:
                _place(axes, row + 0.16, fit.parametric.a, _interval(fit.parametric), "parametric")
            if fit.isoflop is None or not np.isfinite(fit.isoflop.a):
                axes.annotate(
                    "no exponent by approach 2", (0.02, row - 0.12), fontsize=8, va="center",
                    xycoords=("axes fraction", "data"),
                )  # fmt: skip
            if known is not None:
                axes.scatter(
                    [known], [row - 0.12], marker="x", s=34, color=GREY, zorder=4,
                    label="Porian et al. 2024",
                )  # fmt: skip
        axes.set_yticks(range(len(fits)), [fit.label for fit in fits])
        axes.set(ylim=(len(fits) - 0.5, -0.5), xlabel=r"exponent a of $N_{opt} \propto C^a$")
        axes.set_xlim(*_limits(fits, published))
        axes.grid(visible=False, axis="y")
        named = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        if named:
            axes.legend(
                named.values(), named.keys(), loc="upper center", bbox_to_anchor=(0.4, -0.18),
                ncols=3,
            )  # fmt: skip
        return figure


def profiles(fits: Sequence[RecipeFit]) -> Figure:
    """Loss against N of each recipe, one panel a recipe, all with the same axis of losses."""
    columns = min(MOST_COLUMNS, len(fits))
    units = {fit.isoflop.config.loss_unit for fit in fits if fit.isoflop is not None}
    rows = -(-len(fits) // columns)
    with styled():
        figure = Figure((10.0, 3.4 * rows), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08))
        panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
        for axes, fit in zip(panels, fits, strict=False):
            _draw_profiles(axes, fit)
        for number, axes in enumerate(panels):
            axes.set_visible(number < len(fits))
            if number % columns == 0:
                axes.set_ylabel(f"final loss ({', '.join(sorted(units)) or 'nats/token'})")
        return figure


def _interval(fit: FittedApproach | None) -> Interval | None:
    return None if fit is None else fit.intervals.get("a")


def _place(axes: Axes, y: float, value: float, interval: Interval | None, approach: str) -> None:
    if not np.isfinite(value):
        return
    colour = APPROACH_COLOURS[approach]
    if interval is not None and np.isfinite(interval).all():
        axes.plot(list(interval), [y, y], color=colour, lw=1.6, solid_capstyle="butt")
    axes.scatter(
        [value], [y], marker="D" if approach == "isoflop" else "o", s=30, color=colour, zorder=3,
        label=f"approach {2 if approach == 'isoflop' else 3}",
    )  # fmt: skip


def _limits(fits: Sequence[RecipeFit], published: Sequence[float | None]) -> tuple[float, float]:
    """All exponents and as much of their intervals as lies within [-0.5, 1.5]."""
    shown = [value for value in published if value is not None] + [0.0, 1.0]
    for fit in fits:
        found = [made.a for made in (fit.isoflop, fit.parametric) if made is not None]
        shown += [a for a in found if np.isfinite(a)]
        for interval in (_interval(fit.isoflop), _interval(fit.parametric)):
            shown += [float(np.clip(end, -0.5, 1.5)) for end in interval or () if np.isfinite(end)]
    return min(shown) - 0.03, max(shown) + 0.03


def _draw_profiles(axes: Axes, fit: RecipeFit) -> None:
    runs = fit.runs
    colours = budget_colours(runs.budget[np.isfinite(runs.budget)])
    for budget, colour in colours.items():
        rows = np.flatnonzero(runs.budget == budget)
        points = axes.scatter(
            runs.n_params[rows], runs.loss[rows], s=16, color=[colour], zorder=3,
            label=power_label(float(f"{budget:.1e}")),
        )  # fmt: skip
        if len(fit.run_ids):
            name_runs(points, fit.run_ids[rows])
    for profile in fit.isoflop.fit.profiles if fit.isoflop else ():
        fine = np.geomspace(profile.n_params.min(), profile.n_params.max(), 100)
        if profile.drawable:
            axes.plot(fine, profile.fitted_loss(fine), color=colours[profile.flops], lw=1.2)
        if profile.bracketed:
            axes.scatter(
                [profile.n_opt], [profile.loss], marker="D", s=28, color=INK, ec="white", zorder=5
            )
    exponent = fit.isoflop.a if fit.isoflop else float("nan")
    said = f"a = {exponent:.2f}" if np.isfinite(exponent) else "no exponent"
    axes.set_title(f"{fit.label}: {said}")
    axes.set(xscale="log", xlabel="parameters N")
    axes.legend(fontsize=7.5, title="C (FLOPs)", title_fontsize=7.5, loc="best")
    log_ticks(axes, "x")
