"""Figures of the fits: each takes what was fitted and returns a matplotlib Figure; none fits."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from analysis.data.run_arrays import Curves
from analysis.figures.hover import name_runs
from analysis.figures.style import (
    APPROACH_COLOURS,
    APPROACH_MARKS,
    GREY,
    INK,
    SCALE,
    close_seams,
    log_ticks,
    loss_ticks,
    new_figure,
    size_norm,
    styled,
)
from analysis.fits.isoflop import IsoflopFit
from analysis.fits.kaplan import published_n_opt
from analysis.stats.power_law import PowerLaw
from analysis.studies.approaches.envelope import EnvelopeApproach
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.study import Study

MOST_CURVES, MOST_POINTS, MOST_MARKS = 300, 60_000, 300
"""Training curves, points of them, and optima of the envelope, drawn at most; more is a smear of
megabytes.
"""

BAND_REACH = 10
"""How far beyond the lines a band or a published line may reach before it squeezes the axis."""


def loss_curves(study: Study) -> Figure:
    """Loss along training of every run, coloured by size, and the envelope with its optima."""
    curves = study.table.training_curves(study.runs)
    found = study.find(EnvelopeApproach)
    curves = _some(curves)
    with styled():
        figure, (left, right) = new_figure(2, width=10, height=4.2)
        _draw_curves(left, curves, study.table.texts("run_id"), figure)
        if found is not None:
            fit = found.fit
            left.plot(fit.flops, fit.loss, color=INK, lw=1.2, label="lower envelope")
            left.legend(loc="upper right")
            _envelope_points(right, found)
        left.set(xscale="log", yscale="log", xlabel="training compute C (FLOPs)")
        left.set(ylabel=f"validation loss ({study.config.loss_unit})", title="Training curves")
        log_ticks(left, "x")
        loss_ticks(left)
        return figure


def optimum(study: Study, targets: Sequence[float] = ()) -> Figure:
    """N_opt and D_opt against C under every approach, with 95 % bands, and `targets` marked.

    The line that Kaplan et al. 2020 published is drawn where it does not squeeze the axis.
    """
    with styled():
        figure, (left, right) = new_figure(2, width=10, height=4.4)
        flops = _flops_range(study, targets)
        for name, fit in study.fits.items():
            if fit.usable:
                _draw_optima(left, right, name, fit, flops)
        isoflop = study.find(IsoflopApproach)
        if isoflop is not None:
            _mark_minima(left, isoflop.fit, "n_opt")
            _mark_minima(right, isoflop.fit, "d_opt")
        for axes, noun in ((left, "parameters N"), (right, "tokens D")):
            axes.set(xscale="log", yscale="log", xlabel="compute C (FLOPs)")
            axes.set_ylabel(f"optimal {noun}")
            for target in targets:
                axes.axvline(target, color=INK, lw=0.8, ls=(0, (2, 2)))
        _kaplan_as_published(left, flops)
        _shade_beyond(left, right, study, flops)
        left.legend()
        log_ticks(left)
        log_ticks(right)
        return figure


def _draw_optima(
    left: Axes, right: Axes, name: str, fit: FittedApproach, flops: np.ndarray
) -> None:
    """The optima of one approach; bands end where the lines of all would be squeezed by them."""
    colour, dashes = APPROACH_COLOURS[name], APPROACH_MARKS[name]
    best, few = fit.optimal(flops), np.geomspace(flops[0], flops[-1], 13)
    spans = [fit.optimal_intervals(float(c)) for c in few]
    for axes, values, intervals in (
        (left, best.n_params, [span.n_params for span in spans]),
        (right, best.n_tokens, [span.n_tokens for span in spans]),
    ):
        line = np.asarray(values)
        axes.plot(flops, line, label=name, color=colour, ls=dashes)
        low, high = np.array(intervals).T
        if np.isfinite(low).all() and np.isfinite(high).all():
            limits = line.min() / BAND_REACH, line.max() * BAND_REACH
            axes.fill_between(
                few, np.clip(low, *limits), np.clip(high, *limits), color=colour, alpha=0.1, lw=0
            )


def _kaplan_as_published(axes: Axes, flops: np.ndarray) -> None:
    line, (low, high) = np.asarray(published_n_opt(flops)), axes.get_ylim()
    if line.min() < low / BAND_REACH or line.max() > high * BAND_REACH:
        return
    axes.plot(flops, line, color=GREY, lw=1, label="Kaplan et al. 2020, as published")


def _some(curves: Curves) -> Curves:
    """Evenly chosen curves, thinned, for drawing."""
    runs = np.unique(curves.run)
    chosen = runs[:: max(1, -(-len(runs) // MOST_CURVES))]
    return curves.take(np.flatnonzero(np.isin(curves.run, chosen))).thinned(MOST_POINTS)


def _draw_curves(axes: Axes, curves: Curves, run_ids: np.ndarray, figure: Figure) -> None:
    starts = np.flatnonzero(np.diff(curves.run, prepend=-1))
    ends = {
        int(start): int(end) for start, end in zip(starts, [*starts[1:], len(curves)], strict=True)
    }
    lines = [
        np.column_stack([curves.flops[s : ends[s]], curves.loss[s : ends[s]]])
        for s in map(int, starts)
    ]
    norm = size_norm(curves.n_params)
    drawn = LineCollection(lines, cmap=SCALE, norm=norm, lw=0.9, alpha=0.85)
    drawn.set_array(curves.n_params[starts])
    name_runs(drawn, run_ids[curves.run[starts]])
    axes.add_collection(drawn)
    axes.autoscale()
    bar = figure.colorbar(ScalarMappable(norm, SCALE), ax=axes, pad=0.02)
    bar.set_label("parameters N")
    bar.outline.set_visible(False)
    close_seams(bar)


def _envelope_points(axes: Axes, found: EnvelopeApproach) -> None:
    """Sizes that lead the envelope and the law through them, with the band of resampled runs."""
    fit, colour = found.fit, APPROACH_COLOURS["envelope"]
    shown = slice(None, None, -(-len(fit.flops) // MOST_MARKS))
    axes.scatter(fit.flops[shown], fit.n_params[shown], s=7, color=colour, lw=0)
    if fit.n_law is not None:
        fine = np.geomspace(fit.flops.min(), fit.flops.max(), 25)
        axes.plot(fine, fit.n_law(fine), color=colour)
        low, high = np.array([found.optimal_intervals(float(c)).n_params for c in fine]).T
        if np.isfinite(low).all():
            axes.fill_between(fine, low, high, color=colour, alpha=0.15, lw=0)
        axes.annotate(
            f"$N \\propto C^{{{fit.n_law.exponent:.2f}}}$", (0.06, 0.9), xycoords="axes fraction"
        )
    axes.set(xscale="log", yscale="log", xlabel="training compute C (FLOPs)")
    axes.set(ylabel="parameters N of the best run", title="Size on the envelope")
    log_ticks(axes)


def draw_law(axes: Axes, law: PowerLaw, flops: np.ndarray, colour: str) -> None:
    """A power law over the span of `flops`, with its 95 % band where it has one."""
    fine = np.geomspace(flops.min(), flops.max(), 50)
    axes.plot(fine, law(fine), color=colour)
    low, high = law.band(fine)
    if np.all(np.isfinite(low)):
        axes.fill_between(fine, low, high, color=colour, alpha=0.15, lw=0)


def _flops_range(study: Study, targets: Sequence[float]) -> np.ndarray:
    """From half the least run to a hundred times the largest, or to the furthest target."""
    largest = max([float(study.runs.flops.max()) * 100, *(2 * target for target in targets)])
    return np.geomspace(study.runs.flops.min() / 2, largest, 100)


def _mark_minima(axes: Axes, fit: IsoflopFit, what: str) -> None:
    kept = fit.bracketed
    axes.scatter(
        [profile.flops for profile in kept],
        [getattr(profile, what) for profile in kept],
        marker="D", s=26, color=APPROACH_COLOURS["isoflop"], ec="white", zorder=4,
    )  # fmt: skip


def _shade_beyond(left: Axes, right: Axes, study: Study, flops: np.ndarray) -> None:
    """Shade where the lines leave the compute that any run used."""
    largest = float(study.runs.flops.max())
    for axes in (left, right):
        axes.axvspan(largest, flops[-1], color=GREY, alpha=0.12, lw=0)
    right.annotate(
        "extrapolated", (largest * 1.3, 0.03), xycoords=("data", "axes fraction"), fontsize=8
    )
