"""The report's part on predictions that were put to the test, its figure, and validation.json."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.emergence.metric_names import task_title
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import APPROACH_COLOURS, INK, VERMILION, log_ticks, new_figure, styled
from analysis.fits.surface import Surface
from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.stats.resampling import Interval
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.study import Study
from analysis.studies.validation import TrainedCell, Validation, validate
from analysis.studies.validation_runs import trials

MOST_SCORES = 60


def validations(study: Study, sweeps: list[str], counting: str) -> list[Validation]:
    """Every test of a fit among the sweeps of a report."""
    return [
        validate(study, str(t.directory), t.predicted, t.cells, t.evals, t.notes)
        for t in trials([Path(sweep) for sweep in sweeps], counting, study.config.loss)
    ]


def validation_json(made: list[Validation]) -> list[dict]:
    """The tests as plain values (arrays and non-finite numbers are left to `results.plain`)."""
    return [{**asdict(v), "winner": v.winner, "conclusion": conclusion(v)} for v in made]


def validation_section(study: Study, made: Validation, index: int = 0) -> Section:
    """What was predicted and what came, in words, one figure and tables."""
    figure = FigureSpec(
        f"validation{index or ''}",
        slice_figure(study, made),
        f"Loss against parameters at {number(made.flops)} FLOPs: what the fit predicted as a curve "
        f"with its band, and the seeds of the predicted optimum and its alternative as points.",
        "The prediction (lines; the band is the law's own 95 % interval) and the trained runs.",
    )
    tables = [_cells_table(made), _forecast_table(made)]
    if made.scores:
        tables.append(_score_table(made))
    return Section(
        f"Prediction put to the test: {Path(made.source).name}",
        [conclusion(made), *_words(made)],
        [figure],
        tables,
    )


def conclusion(made: Validation) -> str:
    """Which allocation won, and by how much, in one sentence."""
    optimum, alternative = made.cells
    ratio = made.flops / made.largest_fitted
    where = (
        f"{number(ratio, 2)} times the largest fitted run"
        if ratio > 1.05
        else "within the fitted range, so by interpolation"
    )
    outcome = {
        "optimum": "the predicted optimum wins",
        "alternative": "the alternative wins, against the prediction",
        "neither": "the seeds do not tell them apart",
    }[made.winner]
    gap = f"{made.gap.value:+.4f} {made.unit}, {100 * made.gap.value / optimum.mean:+.2f} %"
    noise = (
        f"95 % interval over seeds {made.gap.interval[0]:+.4f} to {made.gap.interval[1]:+.4f}"
        if np.isfinite(made.gap.interval[0])
        else "one seed each: no interval"
    )
    return (
        f"At {number(made.flops)} FLOPs, {where}, the optimum by {made.approach} "
        f"({_shape(optimum)}) reached {_measured(optimum)} and an alternative of equal cost "
        f"({_shape(alternative)}) {_measured(alternative)}: {outcome} "
        f"(alternative minus optimum {gap}; {noise})."
    )


def printed(made: Validation) -> list[str]:
    """A test as lines for a terminal: the conclusion, then each law's prediction."""
    lines = [conclusion(made)]
    for f in made.forecasts:
        lines.append(
            f"{f.law:11}{f.cell:11} predicted {f.loss:.4f} {_bracket(f.interval, '.4f')}  measured "
            f"{f.measured:.4f}  error {100 * f.error:+.2f} %"
        )
    for name, (gap, interval) in made.predicted_gaps.items():
        lines.append(f"{name:11}gap      predicted {gap:+.4f} {_bracket(interval, '+.4f')}")
    return lines


def _bracket(interval: Interval, form: str) -> str:
    low, high = interval
    return "(no interval)" if np.isnan(low + high) else f"[{low:{form}}, {high:{form}}]"


def slice_figure(study: Study, made: Validation) -> Figure:
    """The fitted surface cut at the budget, with its band, and the seeds of both cells."""
    sizes = np.array([cell.n_params for cell in made.cells])
    n_params = np.geomspace(sizes.min() / 3, sizes.max() * 2.5, 120)
    with styled():
        figure, (axes,) = new_figure(1, width=7.5, height=4.2)
        found = study.find(ParametricApproach)
        if found is not None and found.usable:
            n_tokens = study.runs.cost.n_tokens(n_params, made.flops)
            colour = APPROACH_COLOURS["parametric"]
            axes.plot(
                n_params,
                found.surface.loss(n_params, n_tokens),
                color=colour,
                label="parametric fit",
            )
            if found.surface_draws is not None:
                low, high = _band(found.surface_draws, n_params, np.asarray(n_tokens))
                axes.fill_between(n_params, low, high, color=colour, alpha=0.15, lw=0)
        for forecast in made.forecasts:
            if forecast.law == "isoflop":
                low, high = forecast.interval
                error = [[forecast.loss - low], [high - forecast.loss]]
                axes.errorbar(
                    [made.cells[0].n_params * 0.94], [forecast.loss],
                    yerr=error if np.isfinite(low) else None,
                    fmt="D", color=APPROACH_COLOURS["isoflop"], capsize=3,
                    label="least loss by approach 2",
                )  # fmt: skip
        for cell, colour, mark in zip(made.cells, (INK, VERMILION), ("o", "s"), strict=True):
            place = np.full(len(cell.losses), cell.n_params)
            label = f"{cell.name}, measured"
            axes.plot(place, cell.losses, mark, color=colour, ms=6, mfc="none", label=label)
        axes.set(xscale="log", xlabel="parameters N", ylabel=f"validation loss ({made.unit})")
        axes.set_xlim(float(n_params[0]), float(n_params[-1]))
        axes.legend(loc="best")
        log_ticks(axes, "x")
        return figure


def _band(draws: Surface, n_params: np.ndarray, n_tokens: np.ndarray) -> tuple:
    with np.errstate(all="ignore"):
        drawn = np.array([draws.loss(n, d) for n, d in zip(n_params, n_tokens, strict=True)])
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=1)
    return low, high


def _words(made: Validation) -> list[str]:
    gaps = [
        f"{name} {gap:+.4f}" + (f" ({interval[0]:+.4f} to {interval[1]:+.4f})"
                                if np.isfinite(interval[0]) else "")
        for name, (gap, interval) in made.predicted_gaps.items()
    ]  # fmt: skip
    words = []
    if gaps:
        words.append(
            f"The gap as predicted, alternative minus optimum: {'; '.join(gaps)} {made.unit}."
        )
    words.append(
        "Intervals of predictions are the law's own, from resampling the fitted runs; a seed's "
        "scatter comes on top. None of these runs is in the fit."
    )
    if not made.scores:
        words.append(f"No evaluation of these checkpoints; isoflop eval {made.source}")
    else:
        shown = f", of which {MOST_SCORES} are shown" if len(made.scores) > MOST_SCORES else ""
        words.append(
            f"{len(made.scores)} metrics of evaluations{shown}; at 95 %, one in twenty differs by "
            f"chance alone."
        )
    return [*words, *made.notes]


def _cells_table(made: Validation) -> TableSpec:
    rows = [
        [
            cell.name,
            count_label(cell.n_params),
            count_label(cell.n_tokens),
            number(cell.n_tokens / cell.n_params),
            number(cell.flops, 4),
            str(len(cell.losses)),
            f"{cell.mean:.4f}",
            "–" if np.isnan(cell.spread) else f"{cell.spread:.4f}",
        ]
        for cell in made.cells
    ]
    columns = ["allocation", "N", "D", "D/N", "FLOPs", "seeds", "mean loss", "SD of seeds"]
    return TableSpec("As trained", columns, rows)


def _forecast_table(made: Validation) -> TableSpec:
    rows = [
        [
            f.law,
            f.cell,
            f"{f.loss:.4f}",
            span(f.interval, 4),
            f"{f.measured:.4f}",
            f"{100 * f.error:+.2f} %",
            {True: "yes", False: "no", None: "–"}[f.holds],
        ]
        for f in made.forecasts
    ]
    columns = ["law", "allocation", "predicted", "95 %", "measured", "error", "interval holds it"]
    return TableSpec("Predicted and measured loss", columns, rows)


def _score_table(made: Validation) -> TableSpec:
    rows = [
        [
            task_title(s.task, s.operands),
            s.format + (f", {s.n_shots} shots" if s.n_shots else ""),
            s.split,
            s.metric,
            number(s.optimum),
            number(s.alternative),
            span(s.difference.interval),
            s.winner,
        ]
        for s in made.scores[:MOST_SCORES]
    ]
    columns = [
        *("task", "format", "split", "metric"),
        *("optimum", "alternative", "95 % of difference", "better"),
    ]
    return TableSpec("Evaluations: mean over seeds", columns, rows)


def _shape(cell: TrainedCell) -> str:
    return f"{count_label(cell.n_params)} parameters on {count_label(cell.n_tokens)} tokens"


def _measured(cell: TrainedCell) -> str:
    n = len(cell.losses)
    spread = "" if np.isnan(cell.spread) else f", SD {cell.spread:.4f}"
    return f"{cell.mean:.4f} ({n} seed{'s' if n > 1 else ''}{spread})"
