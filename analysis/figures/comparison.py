"""Figures of two sweeps side by side: exponents by approach, valleys over each other."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.fits import runs_of
from analysis.figures.hover import name_runs
from analysis.figures.style import BLUE, INK, VERMILION, log_ticks, new_figure, styled
from analysis.studies.comparison import ExponentPair
from analysis.studies.study import Study

COLOURS, MARKERS, LINES = (BLUE, VERMILION), ("o", "s"), ("-", "--")
"""How the first sweep and the second are told apart, also in print."""


def forest(names: tuple[str, str], exponents: list[ExponentPair]) -> Figure:
    """Exponents a by approach with their intervals, the first sweep's above the second's."""
    shown = [pair for pair in exponents if pair.name == "a"]
    with styled():
        height = 0.9 + 0.55 * len(shown)
        figure, (axes,) = new_figure(1, width=7.2, height=height)
        for side, (name, colour, marker) in enumerate(zip(names, COLOURS, MARKERS, strict=True)):
            rows = np.arange(len(shown)) + (side - 0.5) * 0.3
            values = np.array([pair.values[side] for pair in shown])
            bounds = np.array([pair.intervals[side] for pair in shown])
            known = np.isfinite(bounds).all(axis=1)
            axes.hlines(rows[known], bounds[known, 0], bounds[known, 1], color=colour, lw=1.6)
            axes.scatter(values, rows, color=colour, marker=marker, s=34, label=name, zorder=3)
        axes.set_yticks(range(len(shown)), [pair.approach for pair in shown])
        axes.set(xlabel="exponent a of N_opt with 95 % interval", ylim=(len(shown) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper right", ncols=2)
        return figure


def overlay(names: tuple[str, str], studies: tuple[Study, Study]) -> Figure:
    """Both sweeps' valleys over each other, and beside them their minima and power laws."""
    with styled():
        figure, (left, right) = new_figure(2, width=10, height=4.4)
        sides = zip(names, studies, COLOURS, MARKERS, LINES, strict=True)
        for name, study, colour, marker, dashes in sides:
            if study.isoflop is not None:
                _draw_side(left, right, study, name, (colour, marker, dashes))
        left.set(xscale="log", xlabel="parameters N", ylabel="final validation loss (nats/token)")
        left.set_title("IsoFLOP profiles")
        right.set(xscale="log", yscale="log", xlabel="compute C (FLOPs)")
        right.set(ylabel="optimal parameters N", title="Minima and their power laws")
        log_ticks(left, "x")
        log_ticks(right)
        right.legend()
        return figure


def _draw_side(
    left: Axes, right: Axes, study: Study, name: str, look: tuple[str, str, str]
) -> None:
    fit, (colour, marker, dashes) = study.isoflop, look
    assert fit is not None  # checked by the caller
    open_marks = "none" if marker == "s" else colour
    for valley in fit.valleys:
        points = left.scatter(
            valley.n_params, valley.losses, marker=marker, s=18, facecolors=open_marks,
            edgecolors=colour, lw=1, zorder=3, rasterized=len(valley.losses) > 100,
        )  # fmt: skip
        name_runs(points, runs_of(study, valley))
        fine = np.geomspace(valley.n_params.min(), valley.n_params.max(), 200)
        if valley.curve == "akima" or np.all(np.isfinite(valley.coefficients)):
            left.plot(fine, valley.profile(fine), color=colour, ls=dashes, lw=1.3)
    kept = [valley for valley in fit.valleys if valley.bracketed]
    flops, n_opt = (np.array([getattr(v, key) for v in kept]) for key in ("flops", "n_opt"))
    losses = [valley.loss for valley in kept]
    left.scatter(n_opt, losses, marker="D", s=26, color=INK, ec="white", zorder=5)
    low, high = np.array([valley.interval for valley in kept]).reshape(-1, 2).T
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
