"""The report's part on the fitted E against the known entropy, its figure, and entropy.json."""

from dataclasses import asdict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import APPROACH_COLOURS, INK, log_ticks, loss_ticks, new_figure, styled
from analysis.format import number, span
from analysis.report.document import Section, TableSpec
from analysis.sections.min_loss import draw_min_losses
from analysis.studies.irreducible_loss import IrreducibleLoss, IrreducibleLossStudy
from analysis.studies.study import Study

TITLE = "Ground truth: the irreducible loss against the entropy"
MARKS = {"parametric": "s", "isoflop": "D", "envelope": "o"}
NAMES = {
    "parametric": "E of the surface",
    "isoflop": "E of the minima's law",
    "envelope": "E of the envelope's law",
}


def entropy_json(made: IrreducibleLossStudy) -> dict:
    """The comparison as plain values; non-finite numbers are left to `results.plain`."""
    return asdict(made)


def entropy_section(study: Study, made: IrreducibleLossStudy) -> Section:
    """How near each approach's E comes to the entropy, and how that changes with budget."""
    figure = FigureSpec(
        "entropy",
        irreducible_loss_figure(study, made),
        f"Left, the least loss of each budget falling towards the entropy {number(made.entropy, 4)}"
        f" with each approach's law; right, the fitted E with their intervals against the "
        f"largest budget fitted, beside the entropy as a line.",
        "Least losses and fitted E (95 % intervals) against the entropy of the data, dashed.",
    )
    words = [
        f"The data is a language whose entropy is known: {number(made.entropy, 5)} nats a token, "
        f"which no model can undercut and an unlimited one would reach. {conclusion(study, made)}",
        "Laws of Kaplan et al. have no E: they fall below any entropy in the end. All runs are "
        "judged on the same held-out text, whose own scatter about the entropy moves every loss "
        "alike and is in no interval.",
    ]
    return Section(
        TITLE,
        words,
        [figure],
        [_convention_table(made), _growth_table(made)],
    )


def irreducible_loss_figure(study: Study, made: IrreducibleLossStudy) -> Figure:
    """Least losses with their laws, and fitted E by the largest budget fitted."""
    with styled():
        figure, (left, right) = new_figure(2, width=10, height=4.2)
        _draw_losses(left, study, made)
        _draw_estimates(right, made)
        return figure


def _draw_losses(axes: Axes, study: Study, made: IrreducibleLossStudy) -> None:
    flops, loss = np.array(made.least).T
    draw_min_losses(axes, study, float(flops.max()) * 1000)
    axes.scatter(flops, loss, color=INK, s=16, zorder=5, label="least loss that ran")
    axes.axhline(made.entropy, color=INK, lw=1, ls=(0, (6, 3)), label="entropy of the data")
    axes.set_title("Least loss against compute")
    axes.set_ylim(bottom=0.75 * made.entropy)  # a law without E leaves the picture
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    log_ticks(axes, "x")
    loss_ticks(axes)


def _draw_estimates(axes: Axes, made: IrreducibleLossStudy) -> None:
    for shift, name in zip((0.94, 1.0, 1.06), MARKS, strict=True):
        kept = [f for f in made.growth if f.approach == name and np.isfinite(f.E)]
        if not kept:
            continue
        x, E = np.array([f.flops * shift for f in kept]), np.array([f.E for f in kept])
        ends = np.array([f.interval for f in kept])
        bars = np.nan_to_num(np.maximum([E - ends[:, 0], ends[:, 1] - E], 0))
        colour = APPROACH_COLOURS[name]
        axes.errorbar(
            x, E, yerr=bars, fmt=MARKS[name], color=colour, ms=5, capsize=3, lw=1,
            label=NAMES[name],
        )  # fmt: skip
    axes.axhline(made.entropy, color=INK, lw=1, ls=(0, (6, 3)), label="entropy of the data")
    axes.set(xscale="log", xlabel="largest budget fitted (FLOPs)", ylabel="E (nats/token)")
    axes.set_title("Fitted irreducible loss E")
    axes.set_ylim(bottom=0)
    axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    log_ticks(axes, "x")


def conclusion(study: Study, made: IrreducibleLossStudy) -> str:
    """Each approach's E under the report's own counting, in words."""
    said = []
    for one in made.estimates:
        if one.counting != study.runs.counting or not np.isfinite(one.E):
            continue
        inside = _holds(one, made.entropy)
        tail = {True: "its interval holds the entropy", False: "its interval misses the entropy"}
        said.append(
            f"{NAMES[one.approach]} is {number(one.E, 4)} ({span(one.interval, 4)}), "
            f"{_percent(one.E / made.entropy - 1)}: "
            + ("it has no interval" if inside is None else tail[inside])
        )
    low = min(loss for _, loss in made.least)
    off = _percent(low / made.entropy - 1)
    gap = f"The least loss that ran, {number(low, 4)}, is {off} off the text's entropy."
    return "; ".join([*said[:-1], said[-1] + "."]) + " " + gap if said else gap


def _convention_table(made: IrreducibleLossStudy) -> TableSpec:
    rows = [_row(one, made.entropy, one.counting) for one in made.estimates]
    return TableSpec("E of all runs", ["counting", *_COLUMNS], rows)


def _growth_table(made: IrreducibleLossStudy) -> TableSpec:
    rows = [_row(one, made.entropy, number(one.flops)) for one in made.growth]
    return TableSpec("E of the runs up to a budget", ["budgets up to", *_COLUMNS], rows)


_COLUMNS = ("approach", "budgets", "runs", "E", "95 %", "error", "holds the entropy", "note")


def _row(estimate: IrreducibleLoss, entropy: float, first: str) -> list[str]:
    inside = _holds(estimate, entropy)
    note = "" if estimate.status == "converged" else f"{estimate.status}: {estimate.reason}"
    return [
        first,
        estimate.approach,
        str(estimate.n_budgets),
        str(estimate.n_runs),
        number(estimate.E, 4),
        span(estimate.interval, 4),
        _percent(estimate.E / entropy - 1),
        "–" if inside is None else ("yes" if inside else "no"),
        note,
    ]


def _holds(estimate: IrreducibleLoss, entropy: float) -> bool | None:
    low, high = estimate.interval
    return None if not np.isfinite(low + high) else bool(low <= entropy <= high)


def _percent(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{100 * value:+.1f} %"
