"""How every figure looks: one ink, one grid, colours that colour-blind readers tell apart."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.format import count_label

INK = "#1b1e23"
"""Text and axes; the report replaces it by the page's own ink, so that figures follow dark mode."""

FAINT = "#d8dbe0"
"""Grid lines; replaced like INK."""

BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, GREY = (
    "#0072b2",
    "#a67c00",
    "#009e73",
    "#b8578d",
    "#d55e00",
    "#3a93c9",
    "#7d828b",
)
"""Okabe and Ito's palette (2008), orange, purple and sky darkened to a contrast of 3 on white."""

SCALE = ListedColormap(mpl.colormaps["plasma"](np.linspace(0.64, 0.02, 48)))
"""Plasma, dark for large, without the end that vanishes on white paper; in fewer steps than
matplotlib turns into pixels.
"""

LOSS_SCALE = SCALE.reversed()
"""The same for losses: dark for low, so that dark is the large and good end of every panel."""

APPROACH_COLOURS = {
    "envelope": ORANGE,
    "isoflop": BLUE,
    "parametric": GREEN,
    "kaplan": PURPLE,
    "repeated": VERMILION,
    "published": GREY,
}
APPROACH_MARKS = {
    "envelope": ":",
    "isoflop": "-",
    "parametric": "--",
    "kaplan": "-.",
    "repeated": (0, (5, 1)),
}

_RC: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "white",
    "lines.linewidth": 1.6,
    "svg.fonttype": "path",
}


@contextmanager
def styled() -> Iterator[None]:
    """The project's matplotlib settings, for the time of drawing, and none of the user's.

    A matplotlibrc with usetex would ask for LaTeX.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def new_figure(
    columns: int = 1,
    width: float = 9.0,
    height: float = 4.0,
    width_ratios: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """A figure with one row of axes, never registered with pyplot, so nothing must be closed."""
    figure = Figure((width, height), layout=ConstrainedLayoutEngine(w_pad=0.08))
    axes = figure.subplots(1, columns, squeeze=False, width_ratios=width_ratios)[0]
    return figure, list(axes)


def budget_colours(budgets: np.ndarray) -> dict[float, tuple[float, float, float, float]]:
    """A colour for each budget, dark for large."""
    unique = np.unique(budgets)
    shades = np.linspace(0.0, 1.0, len(unique)) if len(unique) > 1 else [0.6]
    return {float(budget): SCALE(shade) for budget, shade in zip(unique, shades, strict=True)}


def size_norm(n_params: np.ndarray) -> LogNorm:
    low, high = float(n_params.min()), float(n_params.max())
    return LogNorm(low, high if high > low else low * 1.01)


def close_seams(bar: Colorbar) -> None:
    """Paint the edges of a colour bar's shades, between which hairlines of paper show else."""
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")


def log_ticks(axes: Axes, which: str = "both") -> None:
    """Label log axes in powers of ten, or as 2 x 10^11 and the like where they hold fewer than
    three of those.

    Limits must be set before: call it last.
    """
    for axis in ("x", "y") if which == "both" else (which,):
        low, high = getattr(axes, f"get_{axis}lim")()
        one = getattr(axes, f"{axis}axis")
        one.set_major_locator(log_locator(low, high))
        one.set_major_formatter(FuncFormatter(lambda value, _: power_label(value)))
        one.set_minor_formatter(NullFormatter())


def log_locator(low: float, high: float) -> LogLocator:
    """Ticks of a log axis: powers of ten; 1, 2 and 5 times them where it holds less than three."""
    narrow = np.floor(np.log10(high)) - np.ceil(np.log10(low)) < 2
    return LogLocator(10, subs=(1, 2, 5) if narrow else (1,), numticks=9)


def power_label(value: float) -> str:
    """A positive number in mathtext: 10^9, or 2 x 10^9."""
    mantissa, exponent = f"{value:.2e}".split("e")
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if mantissa == "1.00" else f"${float(mantissa):g}\\times {power}$"


def loss_ticks(axes: Axes, axis: str = "y") -> None:
    """Plain labels for a log axis of losses, which span a factor of a few."""
    low, high = getattr(axes, f"get_{axis}lim")()
    steps = (0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5)
    step = next((s for s in steps if (high - low) / s <= 7), 10)
    ticks = np.arange(np.ceil(low / step) * step, high, step)
    getattr(axes, f"set_{axis}ticks")(ticks, [f"{t:.4g}" for t in ticks])
    getattr(axes, f"set_{axis}ticks")([], minor=True)


def count_span(interval: tuple[float, float]) -> str:
    """An interval of counts as text: 33k to 41k."""
    if np.isnan(interval).any():
        return "–"
    return f"{count_label(interval[0])} to {count_label(interval[1])}"
