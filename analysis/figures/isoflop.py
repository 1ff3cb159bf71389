"""Figures of approach 2: a profile for each budget, and the power laws through their minima."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from analysis.figures.fits import draw_law
from analysis.figures.hover import name_runs
from analysis.figures.style import (
    APPROACH_COLOURS,
    INK,
    SCALE,
    budget_colours,
    close_seams,
    log_ticks,
    new_figure,
    power_label,
    size_norm,
    styled,
)
from analysis.fits.isoflop import IsoflopFit
from analysis.fits.isoflop_profile import IsoflopProfile
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.study import Study

Colour = tuple[float, float, float, float]

MOST_LABELS = 8
"""Budgets that a legend names at most; a colour bar names more."""

MOST_MARKS = 100
"""Runs of a budget drawn as vectors at most."""


def profiles(study: Study) -> Figure:
    """Loss against N for each budget with its profile and minimum; N_opt and D_opt against C.

    The three panels of figure 3 of Hoffmann et al. 2022.
    """
    found = study.find(IsoflopApproach)
    assert found is not None  # drawn only where approach 2 was fitted
    fit = found.fit
    flops = np.array([profile.flops for profile in fit.profiles])
    colours = budget_colours(flops)
    with styled():
        figure, (left, middle, right) = new_figure(
            3, width=12.5, height=4.2, width_ratios=(1.5, 1, 1)
        )
        for profile in fit.profiles:
            _draw_profile(left, profile, colours[profile.flops], runs_of(study, profile))
        left.set(xscale="log", xlabel="parameters N", title="IsoFLOP profiles and their minima")
        left.set_ylabel(f"final validation loss ({study.config.loss_unit})")
        log_ticks(left, "x")
        _name_budgets(figure, left, flops, colours)
        _draw_minima(middle, fit, colours, "N")
        _draw_minima(right, fit, colours, "D")
        return figure


def runs_of(study: Study, profile: IsoflopProfile) -> np.ndarray:
    """Names of a profile's runs, in the order of its points."""
    rows = np.flatnonzero(study.runs.budget == profile.flops)
    rows = rows[np.argsort(study.runs.n_params[rows], kind="stable")]
    return study.table.texts("run_id")[rows]


def _name_budgets(
    figure: Figure, axes: Axes, flops: np.ndarray, colours: dict[float, Colour]
) -> None:
    """Every budget by name, or a colour bar where they are many."""
    if len(flops) > MOST_LABELS:
        norm = size_norm(flops)
        bar = figure.colorbar(ScalarMappable(norm, SCALE), ax=axes, pad=0.02)
        bar.set_label("budget C (FLOPs)")
        bar.outline.set_visible(False)
        close_seams(bar)
        return
    for budget in flops:
        axes.plot([], [], color=colours[float(budget)], label=power_label(float(budget)))
    axes.legend(
        title="budget (FLOPs)", ncols=min(len(flops), 4), columnspacing=1.2,
        loc="upper center", bbox_to_anchor=(0.5, -0.15),
    )  # fmt: skip


def _draw_profile(axes: Axes, profile: IsoflopProfile, colour: Colour, run_ids: np.ndarray) -> None:
    many = len(profile.losses) > MOST_MARKS
    points = axes.scatter(
        profile.n_params, profile.losses, s=4 if many else 20, color=[colour], zorder=3,
        rasterized=many,
    )  # fmt: skip
    name_runs(points, run_ids)
    fine = np.geomspace(profile.n_params.min(), profile.n_params.max(), 200)
    if profile.drawable:
        # A dashed curve has no minimum that its runs hold on both sides.
        dashes = "-" if profile.bracketed else "--"
        axes.plot(fine, profile.fitted_loss(fine), color=colour, ls=dashes)
    if profile.bracketed:
        low, high = np.clip(profile.interval, fine[0], fine[-1])
        axes.plot([low, high], [profile.loss, profile.loss], color=INK, lw=1, zorder=4)
        axes.scatter(
            [profile.n_opt], [profile.loss], marker="D", s=32, color=INK, ec="white", zorder=5
        )


def _draw_minima(axes: Axes, fit: IsoflopFit, colours: dict[float, Colour], what: str) -> None:
    """The optima of N or of D against budgets, with their intervals and the law."""
    law = fit.n_law if what == "N" else fit.d_law
    optima = np.array([p.n_opt if what == "N" else p.d_opt for p in fit.bracketed])
    ends = [p.interval if what == "N" else p.d_interval for p in fit.bracketed]
    for profile, best, (low, high) in zip(fit.bracketed, optima, ends, strict=True):
        error = [[best - low], [high - best]] if np.isfinite(low) else None
        axes.errorbar(
            [profile.flops], [best], yerr=error, fmt="D", ms=6,
            color=colours[profile.flops], capsize=3,
        )  # fmt: skip
    if law is not None:
        flops = np.array([profile.flops for profile in fit.profiles])
        draw_law(axes, law, flops, APPROACH_COLOURS["isoflop"])
        text = f"${what}_{{opt}} \\propto C^{{{law.exponent:.2f}}}$"
        axes.annotate(text, (0.06, 0.9), xycoords="axes fraction")
    axes.set(xscale="log", yscale="log", xlabel="budget C (FLOPs)")
    if len(optima) == 1:
        budget = fit.bracketed[0].flops
        axes.set(xlim=(budget / 2, budget * 2), ylim=(optima[0] / 2, optima[0] * 2))
    elif len(optima):
        # A minimum that hardly anything holds must not squeeze the others.
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, optima.min() / 10), min(high, optima.max() * 10))
    noun = "parameters N" if what == "N" else "tokens D"
    axes.set(ylabel=f"optimal {noun}", title=f"Compute-optimal {noun}")
    log_ticks(axes)
