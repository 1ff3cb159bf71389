"""The report's part on what loss a budget buys: laws of approaches 1 and 2 beside the others'."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import (
    APPROACH_COLOURS,
    APPROACH_MARKS,
    GREY,
    log_ticks,
    loss_ticks,
    new_figure,
    styled,
)
from analysis.format import number, span
from analysis.report.document import Section, TableSpec
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.study import Study

TITLE = "The least loss that compute buys"


def min_loss_section(study: Study) -> Section | None:
    """Laws of the least loss, with a figure and their parameters; None where nothing was fitted."""
    curves = optimal_losses(study, np.array([study.runs.flops.max()]))
    missing = [name for name, fit in study.fits.items() if f"{name} loss" in fit.missing]
    if not curves and not missing:
        return None
    text = (
        "L = E + k C^-g through the losses of the minima (approach 2) and along the envelope "
        "(approach 1), where neither the smallest nor the largest size leads. On a surface of "
        "approach 3, E is its E and g is alpha a. Losses in the middle of a decaying schedule lie "
        "above what a run that ends there reaches, and so does the envelope's law, which is "
        "therefore given no interval: resampling runs does not show that bias."
    )
    figures = []
    if curves:
        figure = FigureSpec(
            "least_loss",
            min_loss_figure(study),
            f"Least loss against compute: {', '.join(curves)}, falling and flattening towards each "
            f"law's E; beyond the runs the plot is shaded.",
            "The loss of the optimum by each approach (bands: 95 %). Shaded: beyond any run.",
        )
        figures = [figure]
    return Section(TITLE, [text], figures, [_table(study)])


def min_loss_figure(study: Study) -> Figure:
    """Loss of the optimum against compute by every approach, with the measured minima."""
    with styled():
        figure, (axes,) = new_figure(1, width=6.4, height=4.2)
        largest = float(study.runs.flops.max())
        draw_min_losses(axes, study, largest * 100)
        axes.axvspan(largest, largest * 100, color=GREY, alpha=0.12, lw=0)
        axes.set_title("Least loss against compute")
        axes.legend()
        log_ticks(axes, "x")
        loss_ticks(axes)
        return figure


def draw_min_losses(axes: Axes, study: Study, up_to: float) -> None:
    """Draw every approach's loss at its optimum up to some FLOPs; ticks are left to the caller."""
    flops = np.geomspace(study.runs.flops.min(), up_to, 100)
    for name, loss in optimal_losses(study, flops).items():
        colour = APPROACH_COLOURS[name]
        axes.plot(flops, loss, color=colour, ls=APPROACH_MARKS[name], label=name)
        made = study.fits[name].min_loss
        law, draws = (made.law, made.draws) if made is not None else (None, None)
        # A power law through three minima has no say on how wide its error is beyond them.
        if law is not None and draws is not None:
            within = flops if law.extrapolates else flops[flops <= study.runs.flops.max()]
            low, high = np.nanquantile(draws(within), [0.025, 0.975], axis=0)
            axes.fill_between(within, low, high, color=colour, alpha=0.15, lw=0)
    isoflop = study.find(IsoflopApproach)
    if isoflop is not None:
        kept = isoflop.fit.bracketed
        axes.scatter(
            [one.flops for one in kept], [one.loss for one in kept], marker="D", s=26,
            color=APPROACH_COLOURS["isoflop"], ec="white", zorder=4, label="minima of the profiles",
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="compute C (FLOPs)")
    axes.set(ylabel=f"loss ({study.config.loss_unit})")


def optimal_losses(study: Study, flops: np.ndarray) -> dict[str, np.ndarray]:
    """The loss of the optimum at each of `flops` by every approach that has one."""
    made = {
        name: np.asarray(fit.optimal(flops).loss) for name, fit in study.fits.items() if fit.usable
    }
    return {name: loss for name, loss in made.items() if np.isfinite(loss).all()}


def _table(study: Study) -> TableSpec:
    rows: list[Sequence[str]] = []
    for name, fit in study.fits.items():
        if fit.min_loss is None:
            continue
        law, own = fit.min_loss.law, fit.min_loss.intervals
        if law is None:
            rows.append([name, *"–––––", fit.min_loss.reason])
            continue
        rows.append([
            name, number(float(law.E), 4), span(own.get("E"), 4), number(float(law.k)),
            number(float(law.g)), span(own.get("g")),
            law.reason or fit.missing.get(f"{name} loss interval", ""),
        ])  # fmt: skip
    return TableSpec("L = E + k C^-g", ["law", "E", "95 %", "k", "g", "95 %", "note"], rows)
