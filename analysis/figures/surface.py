"""Figures of the parametric surface: contours with the frontier, residuals, bootstrap clouds."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from analysis.figures.hover import name_runs
from analysis.figures.style import (
    APPROACH_COLOURS,
    BLUE,
    INK,
    LOSS_SCALE,
    SCALE,
    budget_colours,
    close_seams,
    log_ticks,
    loss_ticks,
    new_figure,
    size_norm,
    styled,
)
from analysis.fits.parametric.fit import ParametricFit
from analysis.fits.surface import Allocation
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.study import Study

MOST_POINTS, MOST_MARKS = 2000, 500
"""Draws shown at most; marks drawn as vectors at most, more are embedded as pixels."""


def contours(study: Study, targets: Sequence[float] = ()) -> Figure:
    """Iso-loss contours over compute and size with the efficient frontier; IsoFLOP slices
    beside.

    `targets`, budgets that were asked for, FLOPs, are marked as figure 4 of Hoffmann et al. 2022
    marks Gopher's.
    """
    fit = _fit(study)
    runs = study.runs
    with styled():
        figure, (left, right) = new_figure(2, width=10.5, height=4.4)
        reach = max([float(runs.flops.max()), *targets])
        flops = np.geomspace(runs.flops.min() / 1.5, reach * 2, 160)
        best = fit.optimal(flops)
        largest = max(float(runs.n_params.max()), float(np.max(best.n_params)))
        sizes = np.geomspace(runs.n_params.min() / 1.5, largest * 2.5, 160)
        grid_c, grid_n = np.meshgrid(flops, sizes)
        loss = np.asarray(fit.loss(grid_n, runs.cost.n_tokens(grid_n, grid_c)))
        low, high = float(np.min(best.loss)), float(np.quantile(runs.loss, 0.97))
        levels = MaxNLocator(9).tick_values(low, high)
        norm = LogNorm(min(low, float(runs.loss.min())), high)
        left.contour(grid_c, grid_n, loss, levels=levels, cmap=LOSS_SCALE, norm=norm, linewidths=1)
        points = left.scatter(
            runs.flops, runs.n_params, s=16, c=runs.loss, cmap=LOSS_SCALE, norm=norm, lw=0,
            zorder=2, label="runs", rasterized=len(runs) > MOST_MARKS,
        )  # fmt: skip
        name_runs(points, study.table.texts("run_id"))
        left.plot(flops, best.n_params, color=INK, lw=1.8, label="efficient frontier")
        _mark_targets(left, targets, fit.optimal)
        left.set(xscale="log", yscale="log", xlabel="compute C (FLOPs)", ylabel="parameters N")
        left.set(title="Iso-loss contours", ylim=(sizes[0], sizes[-1]), xlim=(flops[0], flops[-1]))
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3)
        log_ticks(left)
        _loss_bar(figure, left, norm, list(levels))
        _slices(right, study)
        return figure


def _mark_targets(
    axes: Axes, targets: Sequence[float], optimal: Callable[[np.ndarray], Allocation]
) -> None:
    if not len(targets):
        return
    best = optimal(np.asarray(targets, dtype=float))
    for flops in targets:
        axes.axvline(flops, color=INK, lw=0.8, ls=(0, (2, 2)))
    axes.scatter(
        targets, best.n_params, marker="*", s=110, color=INK, ec="white", zorder=5,
        label="budget asked for",
    )  # fmt: skip


def _loss_bar(figure: Figure, axes: Axes, norm: LogNorm, levels: list[float]) -> None:
    """A scale of losses with a tick at each contour, which labels on the lines would tear."""
    bar = figure.colorbar(ScalarMappable(norm, LOSS_SCALE), ax=axes, pad=0.02)
    shown = [level for level in levels if norm(level) == np.clip(norm(level), 0, 1)]
    bar.set_ticks(shown, labels=[f"{level:.4g}" for level in shown])
    bar.minorticks_off()
    bar.set_label("loss")
    bar.outline.set_visible(False)
    close_seams(bar)


def residuals(study: Study) -> Figure:
    """Residuals of log loss against size, tokens, and as a histogram beside a normal curve."""
    fit = _fit(study)
    r = fit.residuals
    with styled():
        figure, (left, middle, right) = new_figure(3, width=10, height=3.2)
        for axes, x, label in (
            (left, study.runs.n_params, "parameters N"),
            (middle, study.runs.n_tokens, "tokens D"),
        ):
            axes.axhline(0, color=INK, lw=0.8)
            points = axes.scatter(x, r, s=14, c=study.runs.flops, cmap=SCALE,
                                  norm=size_norm(study.runs.flops), lw=0,
                                  rasterized=len(r) > MOST_MARKS)  # fmt: skip
            name_runs(points, study.table.texts("run_id"))
            axes.set(xscale="log", xlabel=label)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            log_ticks(axes, "x")
        left.set_ylabel("observed over fitted loss")
        _histogram(right, r)
        return figure


def clouds(study: Study) -> Figure:
    """The bootstrap's draws, two parameters at a time, about the fit."""
    found = study.find(ParametricApproach)
    assert found is not None and found.surface_draws is not None  # drawn only with a bootstrap
    draws, fit = found.surface_draws, found.fit
    pairs = (("alpha", "beta"), ("E", "a"), ("A", "B"))
    with styled():
        figure, panels = new_figure(3, width=10, height=3.3)
        for axes, (x, y) in zip(panels, pairs, strict=True):
            xs = np.atleast_1d(np.asarray(getattr(draws, x)))[:MOST_POINTS]
            ys = np.atleast_1d(np.asarray(getattr(draws, y)))[:MOST_POINTS]
            xs, ys = (v if v.size > 1 else np.full(MOST_POINTS, v[0]) for v in (xs, ys))
            n = min(len(xs), len(ys))
            axes.scatter(
                xs[:n], ys[:n], s=5, color=BLUE, alpha=0.35, lw=0, rasterized=n > MOST_MARKS
            )
            axes.scatter(
                [getattr(fit, x)], [getattr(fit, y)], marker="P", s=55, color=INK, ec="white"
            )
            axes.set(xlabel=_symbol(x), ylabel=_symbol(y))
            axes.xaxis.set_major_locator(MaxNLocator(5))
            if max(np.ptp(np.log10(np.abs(v[:n]))) for v in (xs, ys)) > 0.7 and x == "A":
                axes.set(xscale="log", yscale="log")
                log_ticks(axes)
        return figure


def _fit(study: Study) -> ParametricFit:
    found = study.find(ParametricApproach)
    assert found is not None and found.usable  # drawn only where approach 3 was fitted
    return found.fit


def _slices(axes: Axes, study: Study) -> None:
    """The surface cut at each budget, with the runs of that budget: the paper's figure 4, right."""
    fit = _fit(study)
    runs = study.runs
    budgets = np.unique(runs.budget[np.isfinite(runs.budget)])
    if not len(budgets):
        budgets = np.quantile(runs.flops, [0.1, 0.5, 0.9])
    sizes = np.geomspace(runs.n_params.min() / 1.5, runs.n_params.max() * 1.5, 200)
    colours = budget_colours(budgets)
    for budget in budgets:
        own = runs.budget == budget
        span = runs.n_params[own] if own.any() else runs.n_params
        near = sizes[(sizes > span.min() / 2) & (sizes < span.max() * 2)]
        colour = colours[float(budget)]
        axes.plot(near, fit.loss(near, runs.cost.n_tokens(near, budget)), color=colour, lw=1.2)
        points = axes.scatter(
            runs.n_params[own],
            runs.loss[own],
            s=12,
            color=[colour],
            lw=0,
            rasterized=len(runs) > MOST_MARKS,
        )
        name_runs(points, study.table.texts("run_id")[own])
    best = fit.optimal(np.geomspace(budgets.min(), budgets.max(), 50))
    axes.plot(best.n_params, best.loss, color=INK, lw=1.8, label="efficient frontier")
    high = float(np.quantile(runs.loss, 0.98)) * 1.03
    axes.set(xscale="log", yscale="log", xlabel="parameters N", title="IsoFLOP slices")
    axes.set(ylim=(float(min(runs.loss.min(), np.min(best.loss))) * 0.97, high))
    axes.set(ylabel=f"loss ({study.config.loss_unit})")
    axes.legend(loc="upper right")
    log_ticks(axes, "x")
    loss_ticks(axes)


def _histogram(axes: Axes, r: np.ndarray) -> None:
    bins = min(40, max(8, len(r) // 6))
    spread = float(np.median(np.abs(r))) / 0.6745
    limit = max(5 * spread, 1e-9)
    inside = r[np.abs(r) <= limit]
    axes.hist(inside, bins=bins, color=APPROACH_COLOURS["parametric"], alpha=0.75)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    outside = len(r) - len(inside)
    axes.set(xlabel="observed over fitted loss", ylabel="runs")
    if outside:
        axes.set_title(f"{outside} beyond 5 robust sd", fontsize=8.5)


def _symbol(name: str) -> str:
    return {"alpha": "$\\alpha$", "beta": "$\\beta$", "a": "$a$"}.get(name, f"${name}$")
