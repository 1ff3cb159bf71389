"""Optimal learning rates and batches: each cell's response, and the laws through the optima."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    BLUE,
    GREY,
    VERMILION,
    close_seams,
    log_ticks,
    new_figure,
    size_norm,
    styled,
)
from analysis.figures.style import SCALE as COLOURS
from analysis.studies.tuning.study import TuningStudy

LABELS = {"lr": "best learning rate", "batch": "best batch"}


def draw_tuning(study: TuningStudy) -> Figure:
    """A panel per setting: optima with intervals against what its law says, edges hollow."""
    settings = [name for name in ("lr", "batch") if name in study.columns]
    with styled():
        figure, panels = new_figure(len(settings), width=5.0 * len(settings), height=4.2)
        for axes, name in zip(panels, settings, strict=True):
            _draw(axes, study, name)
        return figure


def _draw(axes: Axes, study: TuningStudy, name: str) -> None:
    inside = [cell for cell in study.cells if not cell.reason]
    edges = [cell for cell in study.cells if cell.reason]
    law = study.laws.get(name)
    variable = "D" if law is not None and not law.n_exponent else "N"
    other = "N" if variable == "D" else "D"
    pick = {"N": lambda c: c.n_params, "D": lambda c: c.n_tokens}
    x, shade, y = (
        np.array([get(c) for c in study.cells])
        for get in (pick[variable], pick[other], lambda c: getattr(c, name))
    )
    norm = size_norm(shade)
    for cell in inside:
        low, high = getattr(cell, f"{name}_interval")
        if np.isfinite([low, high]).all():
            axes.vlines(pick[variable](cell), low, high, lw=1, color=GREY, zorder=1)
    solid = np.array([not cell.reason for cell in study.cells], dtype=bool)
    points = axes.scatter(x[solid], y[solid], c=shade[solid], cmap=COLOURS, norm=norm, s=34,
                          zorder=3)  # fmt: skip
    if edges:
        axes.scatter(x[~solid], y[~solid], facecolors="none", edgecolors=VERMILION, s=34,
                     label="no optimum inside the sweep")  # fmt: skip
    if law is not None:
        fine = np.geomspace(x.min(), x.max(), 50)
        for value in np.unique(shade[solid])[[0, -1]]:
            n, d = (fine, value) if variable == "N" else (value, fine)
            axes.plot(fine, law(n, d), color=COLOURS(norm(value)), lw=1.2)
    unit = " (tokens)" if name == "batch" and study.batch_in_tokens else ""
    axes.set(xscale="log", yscale="log", ylabel=f"{LABELS[name]}{unit}")
    axes.set(xlabel="parameters N" if variable == "N" else "tokens D")
    if np.ptp(np.log(shade)) > 0:
        assert axes.figure is not None
        bar = axes.figure.colorbar(points, ax=axes, label="tokens D" if other == "D" else
                                   "parameters N")  # fmt: skip
        close_seams(bar)
    if law is None:
        axes.plot([], [], color=BLUE, label="no law")
    if edges or law is None:
        axes.legend()
    log_ticks(axes)
