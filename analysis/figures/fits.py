"""Figures of the fits: each takes what was fitted and returns a matplotlib Figure; none fits."""

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
    budget_colours,
    close_seams,
    log_ticks,
    loss_ticks,
    new_figure,
    size_norm,
    styled,
)
from analysis.fits.envelope import EnvelopeFit
from analysis.fits.isoflop import IsoflopFit
from analysis.fits.isoflop_profile import IsoflopProfile
from analysis.fits.kaplan import published_n_opt
from analysis.stats.power_law import PowerLaw
from analysis.studies.approaches.envelope import EnvelopeApproach
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.study import Study

MOST_CURVES, MOST_POINTS, MOST_MARKS = 300, 60_000, 300
"""Training curves, points of them, and optima of the envelope, drawn at most; more is a smear of
megabytes.
"""

MOST_LABELS = 10
"""Budgets that a legend names at most."""


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
            _envelope_points(right, fit)
        left.set(xscale="log", yscale="log", xlabel="training compute C (FLOPs)")
        left.set(ylabel=f"validation loss ({study.config.loss_unit})", title="Training curves")
        log_ticks(left, "x")
        loss_ticks(left)
        return figure


def profiles(study: Study) -> Figure:
    """Loss against N for each budget with the fitted profile and its minimum."""
    found = study.find(IsoflopApproach)
    assert found is not None  # drawn only where approach 2 was fitted
    fit = found.fit
    colours = budget_colours(np.array([profile.flops for profile in fit.profiles]))
    with styled():
        figure, (axes, right) = new_figure(2, width=10, height=4.4)
        step = -(-len(fit.profiles) // MOST_LABELS)
        for i, profile in enumerate(reversed(fit.profiles)):
            label = _budget_label(profile.flops) if i % step == 0 else ""
            _draw_profile(axes, profile, colours[profile.flops], runs_of(study, profile), label)
        axes.set(xscale="log", xlabel="parameters N")
        axes.set(ylabel=f"final validation loss ({study.config.loss_unit})")
        axes.set_title("IsoFLOP profiles and their minima")
        log_ticks(axes, "x")
        columns = min(len(fit.profiles), 5)
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles[::-1], labels[::-1], title="budget (FLOPs)", ncols=columns, columnspacing=1.2,
            loc="upper center", bbox_to_anchor=(0.5, -0.15),
        )  # fmt: skip
        _draw_minima(right, fit, colours)
        return figure


def optimum(study: Study) -> Figure:
    """N_opt and D_opt against C under every approach, with Kaplan et al.'s published line."""
    with styled():
        figure, (left, right) = new_figure(2, width=10, height=4.4)
        flops = _flops_range(study)
        for approach, (n_opt, d_opt) in _optima(study, flops).items():
            colour, dashes = APPROACH_COLOURS[approach], APPROACH_MARKS[approach]
            left.plot(flops, n_opt, label=approach, color=colour, ls=dashes)
            right.plot(flops, d_opt, label=approach, color=colour, ls=dashes)
        left.plot(
            flops,
            published_n_opt(flops),
            color=GREY,
            lw=1,
            label="Kaplan et al. 2020, as published",
        )
        isoflop = study.find(IsoflopApproach)
        if isoflop is not None:
            _mark_minima(left, isoflop.fit, "n_opt")
            _mark_minima(right, isoflop.fit, "d_opt")
        _shade_beyond(left, right, study)
        left.set(
            xscale="log", yscale="log", xlabel="compute C (FLOPs)", ylabel="optimal parameters N"
        )
        right.set(xscale="log", yscale="log", xlabel="compute C (FLOPs)", ylabel="optimal tokens D")
        left.legend()
        log_ticks(left)
        log_ticks(right)
        return figure


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


def _envelope_points(axes: Axes, fit: EnvelopeFit) -> None:
    shown = slice(None, None, -(-len(fit.flops) // MOST_MARKS))
    axes.scatter(
        fit.flops[shown], fit.n_params[shown], s=7, color=APPROACH_COLOURS["envelope"], lw=0
    )
    if fit.n_law is not None:
        _draw_law(axes, fit.n_law, fit.flops, APPROACH_COLOURS["envelope"])
        axes.annotate(
            f"$N \\propto C^{{{fit.n_law.exponent:.2f}}}$", (0.06, 0.9), xycoords="axes fraction"
        )
    axes.set(xscale="log", yscale="log", xlabel="training compute C (FLOPs)")
    axes.set(ylabel="parameters N of the best run", title="Size on the envelope")
    log_ticks(axes)


def runs_of(study: Study, profile: IsoflopProfile) -> np.ndarray:
    """Names of a profile's runs, in the order of its points."""
    rows = np.flatnonzero(study.runs.budget == profile.flops)
    rows = rows[np.argsort(study.runs.n_params[rows], kind="stable")]
    return study.table.texts("run_id")[rows]


def _draw_profile(
    axes: Axes,
    profile: IsoflopProfile,
    colour: tuple[float, float, float, float],
    run_ids: np.ndarray,
    label: str,
) -> None:
    many = len(profile.losses) > 100
    points = axes.scatter(
        profile.n_params, profile.losses, s=4 if many else 20, color=[colour], zorder=3,
        rasterized=many,
    )  # fmt: skip
    name_runs(points, run_ids)
    fine = np.geomspace(profile.n_params.min(), profile.n_params.max(), 200)
    if profile.drawable:
        # A dashed curve has no minimum that its runs hold on both sides.
        dashes = "-" if profile.bracketed else "--"
        axes.plot(fine, profile.fitted_loss(fine), color=colour, label=label, ls=dashes)
    if profile.bracketed:
        low, high = profile.interval
        axes.plot([low, high], [profile.loss, profile.loss], color=INK, lw=1, zorder=4)
        axes.scatter(
            [profile.n_opt], [profile.loss], marker="D", s=32, color=INK, ec="white", zorder=5
        )


def _draw_minima(
    axes: Axes, fit: IsoflopFit, colours: dict[float, tuple[float, float, float, float]]
) -> None:
    for profile in fit.bracketed:
        low, high = profile.interval
        error = [[profile.n_opt - low], [high - profile.n_opt]] if np.isfinite(low) else None
        axes.errorbar(
            [profile.flops], [profile.n_opt], yerr=error, fmt="D", ms=6,
            color=colours[profile.flops], capsize=3,
        )  # fmt: skip
    if fit.n_law is not None:
        flops = np.array([profile.flops for profile in fit.profiles])
        _draw_law(axes, fit.n_law, flops, APPROACH_COLOURS["isoflop"])
        axes.annotate(
            f"$N_{{opt}} \\propto C^{{{fit.n_law.exponent:.2f}}}$",
            (0.06, 0.9),
            xycoords="axes fraction",
        )
    optima = [profile.n_opt for profile in fit.bracketed]
    budgets = [profile.flops for profile in fit.bracketed]
    if len(fit.bracketed) == 1:
        axes.set(xlim=(budgets[0] / 2, budgets[0] * 2), ylim=(optima[0] / 2, optima[0] * 2))
    axes.set(xscale="log", yscale="log", xlabel="budget C (FLOPs)", ylabel="optimal parameters N")
    axes.set_title("Minima and their power law")
    log_ticks(axes)


def _draw_law(axes: Axes, law: PowerLaw, flops: np.ndarray, colour: str) -> None:
    fine = np.geomspace(flops.min(), flops.max(), 50)
    axes.plot(fine, law(fine), color=colour)
    low, high = law.band(fine)
    if np.all(np.isfinite(low)):
        axes.fill_between(fine, low, high, color=colour, alpha=0.15, lw=0)


def _optima(study: Study, flops: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """N_opt and D_opt at each of `flops` for every approach that has them."""
    best = {name: fit.optimal(flops) for name, fit in study.fits.items() if fit.usable}
    return {name: (np.asarray(b.n_params), np.asarray(b.n_tokens)) for name, b in best.items()}


def _flops_range(study: Study) -> np.ndarray:
    """From half the least run to a hundred times the largest."""
    return np.geomspace(study.runs.flops.min() / 2, study.runs.flops.max() * 100, 100)


def _mark_minima(axes: Axes, fit: IsoflopFit, what: str) -> None:
    kept = fit.bracketed
    axes.scatter(
        [profile.flops for profile in kept],
        [getattr(profile, what) for profile in kept],
        marker="D", s=26, color=APPROACH_COLOURS["isoflop"], ec="white", zorder=4,
    )  # fmt: skip


def _shade_beyond(left: Axes, right: Axes, study: Study) -> None:
    """HoverPoint where the lines leave the compute that any run used."""
    largest = float(study.runs.flops.max())
    for axes in (left, right):
        axes.axvspan(largest, largest * 100, color=GREY, alpha=0.12, lw=0)
    right.annotate(
        "extrapolated", (largest * 1.3, 0.03), xycoords=("data", "axes fraction"), fontsize=8
    )


def _budget_label(flops: float) -> str:
    mantissa, exponent = f"{flops:.1e}".split("e")
    mantissa = mantissa.removesuffix(".0")
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if mantissa == "1" else f"${mantissa}\\times {power}$"
