"""The report on two sweeps side by side: python -m analysis compare=[A,B]."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import appendix
from analysis.comparison import (
    BudgetPair,
    ExponentPair,
    exponents,
    setting_differences,
    shared_budgets,
    spec_differences,
)
from analysis.figures import runs_of
from analysis.marks import name_runs
from analysis.runbook import RunBook
from analysis.section import FigureSpec, Part, Section, TableSpec
from analysis.study import Study
from analysis.style import (
    BLUE,
    INK,
    VERMILION,
    count_label,
    count_span,
    log_ticks,
    new_figure,
    number,
    span,
    styled,
)

COLOURS, MARKERS, LINES = (BLUE, VERMILION), ("o", "s"), ("-", "--")


@dataclass(frozen=True)
class Comparison:
    """Two named studies and what was found between them."""

    names: tuple[str, str]
    studies: tuple[Study, Study]
    exponents: list[ExponentPair]
    budgets: list[BudgetPair]
    specs: list[tuple[str, str, str]]
    settings: list[tuple[str, str, str]]


def compare(directories: Sequence[Path], first: Study, second: Study) -> Comparison:
    """Two sweeps' studies as a comparison, named by their directories."""
    names = [directory.name for directory in directories]
    if names[0] == names[1]:
        names = [str(directory) for directory in directories]
    return Comparison(
        (names[0], names[1]),
        (first, second),
        exponents(first, second),
        shared_budgets(first, second),
        spec_differences(first, second),
        setting_differences(*(_settings(directory) for directory in directories)),
    )


def verdict(made: Comparison) -> str:
    """Whether the exponents differ, in one sentence with the difference's interval."""
    quoted = [p for p in made.exponents if p.name == "a" and np.isfinite(p.values).all()]
    first, second = made.names
    if not quoted:
        return f"No approach determines how N should grow with C in both {first} and {second}."
    pair = quoted[0]
    ours, theirs = (
        f"{number(value)} ({span(interval)}) in {name}"
        for value, interval, name in zip(pair.values, pair.intervals, made.names, strict=True)
    )
    low, high = pair.difference_interval
    if np.isnan(low):
        told = "without an interval on both, whether they differ can't be said"
    elif low <= 0 <= high:
        told = "the 95 % interval holds zero, so these runs do not tell them apart"
    else:
        told = "the 95 % interval leaves zero out, so they differ"
    return (
        f"By approach {pair.approach} N grows as C to the power {ours} and {theirs}, a difference "
        f"of {number(pair.difference)} ({span((low, high))}): {told}."
    )


def caveats(made: Comparison) -> list[str]:
    """What must be known before two sweeps are compared at all."""
    notes = [
        f"{name}: {warning}"
        for name, study in zip(made.names, made.studies, strict=True)
        for warning in study.table.warnings
    ]
    if any(name in ("data", "data_fingerprint") for name, *_ in made.specs):
        notes.append(
            "The sweeps were trained on different data: exponents can be compared, losses can't."
        )
    return notes


def facts(made: Comparison) -> list[tuple[str, str]]:
    shown = [
        (f"runs, {name}", f"{len(study.runs):,}")
        for name, study in zip(made.names, made.studies, strict=True)
    ]
    return [
        *shown,
        ("shared budgets", str(len(made.budgets))),
        ("differing settings", str(len(made.settings))),
    ]


def parts(made: Comparison) -> list[Part]:
    """The comparison's own parts of the report."""
    fits = [_exponent_section(made)]
    if any(study.isoflop is not None for study in made.studies):
        fits.append(_valley_section(made))
    return [Part("Fits", fits), Part("Differences", [_difference_section(made)])]


def run_part(made: Comparison, book: RunBook) -> Part:
    """Every run of both sweeps, and what each fit left out."""
    left_out = [
        appendix.exclusions(study, f"Excluded runs of {name}")
        for name, study in zip(made.names, made.studies, strict=True)
    ]
    return Part("Runs", [appendix.runs(book), *left_out])


def comparison_json(made: Comparison) -> dict[str, Any]:
    """All numbers of the comparison; arrays and NaN are left to `results.plain`."""
    return {
        "sweeps": made.names,
        "verdict": verdict(made),
        "exponents": [
            {**asdict(p), "difference": p.difference, "difference_interval": p.difference_interval}
            for p in made.exponents
        ],
        "budgets": [{**asdict(b), "loss_ratio": b.loss_ratio} for b in made.budgets],
        "specs": made.specs,
        "settings": made.settings,
    }


def _settings(directory: Path) -> dict[str, Any]:
    path = directory / "sweep.yaml"
    return yaml.safe_load(path.read_text()) or {} if path.is_file() else {}


def _exponent_section(made: Comparison) -> Section:
    rows = []
    for pair in made.exponents:
        cells = [
            cell
            for value, interval in zip(pair.values, pair.intervals, strict=True)
            for cell in (number(value), span(interval))
        ]
        change = [number(pair.difference), span(pair.difference_interval)]
        rows.append([pair.approach, pair.name, *cells, *change])
    first, second = made.names
    columns = ["approach", "", first, "95 %", second, "95 %", "difference", "95 %"]
    figure = FigureSpec(
        "exponents",
        _forest(made),
        f"Exponents a by approach with 95 % intervals, those of {first} above those of {second}.",
        "N_opt grows as C^a. Points are the exponents by each approach, bars their 95 % intervals.",
        _forest(made, narrow=True),
    )
    text = (
        "Intervals of differences follow from the two intervals, as of independent estimates "
        "(Zou and Donner 2008)."
    )
    return Section("Exponents", [text], [figure], [TableSpec("Exponents", columns, rows)])


def _valley_section(made: Comparison) -> Section:
    first, second = made.names
    figure = FigureSpec(
        "overlay",
        _overlay(made),
        f"Loss against parameters at each budget, {first} as filled points and solid lines, "
        f"{second} as open squares and dashed lines; beside it the minima against compute.",
        f"IsoFLOP profiles of both sweeps: {first} solid, {second} dashed; diamonds are minima.",
        _overlay(made, narrow=True),
    )
    rows = [
        [
            number(budget.flops),
            *(
                f"{count_label(n)} ({count_span(interval)})"
                for n, interval in zip(budget.n_opt, budget.n_intervals, strict=True)
            ),
            *(number(loss, 4) for loss in budget.loss),
            f"{100 * budget.loss_ratio:+.2f} %",
        ]
        for budget in made.budgets
    ]
    columns = ["C (FLOPs)", f"N_opt, {first}", f"N_opt, {second}"]
    columns += [f"loss, {first}", f"loss, {second}", "loss, change"]
    tables = [TableSpec("Minima at shared budgets", columns, rows)] if rows else []
    text = [] if rows else ["No budget has a bracketed minimum in both sweeps."]
    return Section("IsoFLOP profiles", text, [figure], tables)


def _difference_section(made: Comparison) -> Section:
    columns = ["", *made.names]
    tables = [
        TableSpec(title, columns, rows)
        for title, rows in (
            ("What the fitted runs are", made.specs),
            ("Settings (sweep.yaml)", made.settings),
        )
        if rows
    ]
    text = [] if tables else ["No column of the runs and no setting differs."]
    return Section("Differences of specs", text, [], tables)


def _forest(made: Comparison, narrow: bool = False) -> Figure:
    shown = [pair for pair in made.exponents if pair.name == "a"]
    with styled():
        height = 0.9 + 0.55 * len(shown)
        figure, (axes,) = new_figure(1, width=4.4 if narrow else 7.2, height=height)
        for side, (name, colour, marker) in enumerate(
            zip(made.names, COLOURS, MARKERS, strict=True)
        ):
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


def _overlay(made: Comparison, narrow: bool = False) -> Figure:
    with styled():
        figure, (left, right) = new_figure(2, width=10, height=4.4, narrow=narrow)
        sides = zip(made.names, made.studies, COLOURS, MARKERS, LINES, strict=True)
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
