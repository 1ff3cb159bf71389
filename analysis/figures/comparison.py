"""Figures of sweeps side by side: exponents by approach, profiles over each other."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.hover import name_runs
from analysis.figures.isoflop import runs_of
from analysis.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    log_ticks,
    new_figure,
    styled,
)
from analysis.fits.isoflop import IsoflopFit
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.comparison import ExponentRow
from analysis.studies.study import Study

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
"""How sweeps are told apart, in their order, also in print."""


def forest(names: Sequence[str], exponents: list[ExponentRow]) -> Figure:
    """Exponents a by approach with their intervals, the first sweep's above the others'."""
    shown = [pair for pair in exponents if pair.name == "a"]
    with styled():
        height = 0.9 + (0.25 + 0.15 * len(names)) * len(shown)
        figure, (axes,) = new_figure(1, width=7.2, height=height)
        step = 0.6 / len(names)
        looks = zip(names, cycle(COLOURS), cycle(MARKERS), strict=False)
        for side, (name, colour, marker) in enumerate(looks):
            rows = np.arange(len(shown)) + (side - (len(names) - 1) / 2) * step
            values = np.array([pair.values[side] for pair in shown])
            bounds = np.array([pair.intervals[side] for pair in shown])
            known = np.isfinite(bounds).all(axis=1)
            axes.hlines(rows[known], bounds[known, 0], bounds[known, 1], color=colour, lw=1.6)
            axes.scatter(values, rows, color=colour, marker=marker, s=34, label=name, zorder=3)
        axes.set_yticks(range(len(shown)), [pair.approach for pair in shown])
        axes.set(xlabel="exponent a of N_opt with 95 % interval", ylim=(len(shown) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper right", ncols=min(4, len(names)))
        return figure


def overlay(names: Sequence[str], studies: Sequence[Study]) -> Figure:
    """All sweeps' profiles over each other, and beside them their minima and power laws."""
    with styled():
        figure, (left, right) = new_figure(2, width=10, height=4.4)
        sides = zip(names, studies, cycle(COLOURS), cycle(MARKERS), cycle(LINES), strict=False)
        for name, study, colour, marker, dashes in sides:
            found = study.find(IsoflopApproach)
            if found is not None:
                _draw_side(left, right, (study, found.fit), name, (colour, marker, dashes))
        units = ", ".join(dict.fromkeys(study.config.loss_unit for study in studies))
        left.set(xscale="log", xlabel="parameters N", ylabel=f"final validation loss ({units})")
        left.set_title("IsoFLOP profiles")
        right.set(xscale="log", yscale="log", xlabel="compute C (FLOPs)")
        right.set(ylabel="optimal parameters N", title="Minima and their power laws")
        log_ticks(left, "x")
        log_ticks(right)
        right.legend()
        return figure


def _draw_side(
    left: Axes,
    right: Axes,
    fitted: tuple[Study, IsoflopFit],
    name: str,
    look: tuple[str, str, str],
) -> None:
    (study, fit), (colour, marker, dashes) = fitted, look
    open_marks = "none" if marker == "s" else colour
    for profile in fit.profiles:
        points = left.scatter(
            profile.n_params, profile.losses, marker=marker, s=18, facecolors=open_marks,
            edgecolors=colour, lw=1, zorder=3, rasterized=len(profile.losses) > 100,
        )  # fmt: skip
        name_runs(points, runs_of(study, profile))
        fine = np.geomspace(profile.n_params.min(), profile.n_params.max(), 200)
        if profile.drawable:
            left.plot(fine, profile.fitted_loss(fine), color=colour, ls=dashes, lw=1.3)
    kept = [profile for profile in fit.profiles if profile.bracketed]
    flops, n_opt = (np.array([getattr(v, key) for v in kept]) for key in ("flops", "n_opt"))
    losses = [profile.loss for profile in kept]
    left.scatter(n_opt, losses, marker="D", s=26, color=INK, ec="white", zorder=5)
    low, high = np.array([profile.interval for profile in kept]).reshape(-1, 2).T
    bars = np.nan_to_num(np.stack([n_opt - low, high - n_opt]))
    right.errorbar(flops, n_opt, bars, fmt=marker, color=colour, mfc=open_marks, ms=6, capsize=3)
    if fit.n_law is not None:
        fine = np.geomspace(flops.min(), flops.max(), 50)
        label = f"{name}: $N \\propto C^{{{fit.n_law.exponent:.2f}}}$"
        right.plot(fine, fit.n_law(fine), color=colour, ls=dashes, label=_plain(label))
        low, high = fit.n_law.band(fine)
        if np.all(np.isfinite(low)):
            right.fill_between(fine, low, high, color=colour, alpha=0.13, lw=0)


def _plain(label: str) -> str:
    """A legend's text whose only mathematics is ours: names of sweeps may hold dollar signs."""
    name, _, law = label.rpartition(": ")
    return f"{name.replace('$', chr(92) + '$')}: {law}"
