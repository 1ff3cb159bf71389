"""Figures of laws from minima alone: optima with their power laws, and the loss along one line."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import BLUE, GREEN, GREY, log_ticks, loss_ticks, new_figure, styled
from analysis.stats.power_law import PowerLaw
from analysis.studies.minima.line import FARTHEST, LineLaw
from analysis.studies.minima.optima import OptimaLaw


def optima_figure(made: OptimaLaw) -> Figure:
    """N_opt and D_opt against C with their laws, and the least loss where it is known."""
    known = made.loss is not None and not made.loss.objection
    with styled():
        figure, panels = new_figure(3 if known else 2, 13.0 if known else 9.5, 4.0)
        _law(panels[0], made.flops, made.n_opt, made.n_law, "optimal parameters N", "N", BLUE)
        _law(panels[1], made.flops, made.d_opt, made.d_law, "optimal tokens D", "D", GREEN)
        if known and made.loss is not None:
            _losses(panels[2], made.loss, np.array([]), "least loss")
        return figure


def line_figure(made: LineLaw, loss: np.ndarray, unit: str) -> Figure:
    """Losses along the line against compute, the law and its band."""
    with styled():
        figure, (axes,) = new_figure(1, 6.0, 4.0)
        _losses(axes, made, loss, f"validation loss ({unit})")
        return figure


def _law(
    axes: Axes, flops: np.ndarray, values: np.ndarray, law: PowerLaw, label: str, name: str,
    colour: str,
) -> None:  # fmt: skip
    largest = float(flops.max())
    fine = np.geomspace(flops.min() / 2, largest * 100, 100)
    low, high = law.band(fine)
    axes.plot(fine, law(fine), color=colour)
    axes.fill_between(fine, low, high, color=colour, alpha=0.15, lw=0)
    axes.scatter(flops, values, s=26, color=colour, ec="white", zorder=3)
    axes.axvspan(largest, largest * 100, color=GREY, alpha=0.12, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="compute C (FLOPs)", ylabel=label)
    axes.set_title(f"${name}_{{opt}} \\propto C^{{{law.exponent:.3f}}}$")
    log_ticks(axes)


def _losses(axes: Axes, made: LineLaw, loss: np.ndarray, label: str) -> None:
    largest = float(made.flops.max())
    fine = np.geomspace(made.flops.min(), largest * FARTHEST, 100)
    with np.errstate(invalid="ignore"):
        drawn = np.asarray(made.draws(fine))
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    axes.plot(fine, np.asarray(made.law(fine)), color=BLUE, label="E + k C^-g")
    axes.fill_between(fine, low, high, color=BLUE, alpha=0.18, lw=0, label="95 %")
    if len(loss):
        axes.scatter(made.flops, loss, s=22, color=BLUE, ec="white", zorder=3, label="runs")
    axes.axvspan(largest, largest * FARTHEST, color=GREY, alpha=0.12, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="compute C (FLOPs)", ylabel=label)
    axes.set_title("Loss against compute (shaded: beyond the runs)")
    loss_ticks(axes)
    log_ticks(axes, "x")
    axes.legend()
