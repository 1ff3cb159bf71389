"""Optimal learning rate and batch in words, a table and a figure, of sweeps over them."""

import numpy as np

from analysis.data.loss_column import with_loss
from analysis.data.loss_table import select
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.questions.tuning import draw_tuning
from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.sections.chapter import Chapter, ReportInputs
from analysis.studies.tuning.study import (
    SettingLaw,
    TunedCell,
    TuningStudy,
    is_swept,
    study_tuning,
)

TITLE = "Learning rate and batch"

NAMES = {"lr": "the best learning rate", "batch": "the best batch"}


def conclusion(study: TuningStudy) -> str:
    """The laws with intervals, or why there are none, and what a wrong rate costs."""
    said = [_law(law, study) for law in study.laws.values()]
    said += [f"no law of {NAMES[name]}: {why}" for name, why in study.missing.items()]
    text = "; ".join(said)
    cost = study.wrong_rate
    if np.isfinite(cost):
        text += f"; twice the best rate costs {cost:.2%} of the loss (median of cells)"
    return f"{text[:1].upper()}{text[1:]}."


def tuning_chapter(inputs: ReportInputs) -> Chapter:
    """Optimal learning rates and batches, where cells were swept over them."""
    fit = inputs.config.fit
    table = with_loss(inputs.everything, fit.loss)
    table = select(table, fit.data, fit.grid, fit.where, best_of=[])
    if not is_swept(table):
        return Chapter()
    made = study_tuning(table, seed=fit.seed)
    said = [conclusion(made)]
    return Chapter([tuning_section(made)], lines=said, numbers={"tuning": made.to_json()})


def tuning_section(study: TuningStudy) -> Section:
    """Laws, every cell's optimum, and how to use them."""
    edges = sum(bool(cell.reason) for cell in study.cells)
    text = [conclusion(study)]
    text.append(
        f"Each cell of one size and length has its optimum where a parabola in the logarithms of "
        f"its settings, through those nearest to its best run, is least; {edges} of "
        f"{len(study.cells)} cells have none inside what was tried and are not fitted. Intervals "
        f"are Student's, from the scatter about parabola and law."
    )
    if "lr" in study.laws:
        text.append(
            "optim.rule=fitted:DIR trains by these laws, DIR being this report's directory."
        )
    columns = ["N", "D", "runs", "lr", "95 %", "batch", "95 %", "loss", "twice the rate costs",
               "remark"]  # fmt: skip
    table = TableSpec("Optima by cell", columns, [_row(cell) for cell in study.cells], True)
    figure = FigureSpec(
        "tuning",
        draw_tuning(study),
        "Best learning rates and batches of the cells with 95 % intervals, and the laws through "
        "them.",
        "Optima with 95 % intervals; lines are the law at the least and the largest of the other "
        "variable. Hollow: no optimum inside what was tried.",
    )
    return Section(TITLE, text, [figure], [table])


def _law(law: SettingLaw, study: TuningStudy) -> str:
    parts = [
        f"{variable}^{number(exponent)} ({span(law.intervals[key])})"
        for variable, exponent, key in (
            ("N", law.n_exponent, "n_exponent"), ("D", law.d_exponent, "d_exponent"),
        )
        if np.isfinite(law.intervals[key]).all()
    ]  # fmt: skip
    unit = " tokens" if law.name == "batch" and study.batch_in_tokens else ""
    note = f"; {law.left_out}" if law.left_out else ""
    return (
        f"{NAMES[law.name]} is {number(law.coefficient)}{unit} {' '.join(parts)} "
        f"({law.n_cells} cells, off by {law.scatter:.0%}{note})"
    )


def _row(cell: TunedCell) -> list[str]:
    return [
        count_label(cell.n_params),
        count_label(cell.n_tokens),
        str(cell.n_runs),
        number(cell.lr),
        span(cell.lr_interval),
        number(cell.batch),
        span(cell.batch_interval),
        number(cell.loss, 4),
        f"{cell.wrong_rate:.2%}" if np.isfinite(cell.wrong_rate) else "–",
        cell.reason or "–",
    ]
