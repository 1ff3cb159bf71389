"""Sizes off the optimum in words: isoflop allocate RUNS inference_tokens= loss=|flops=."""

from typing import Any

import numpy as np

from analysis.config import AllocationConfig
from analysis.errors import FitError
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.questions.serving import serving_figure
from analysis.figures.style import count_span
from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.sections.chapter import Chapter, ReportInputs
from analysis.studies.serving.serving import PriceRow, Quality, Serving, ServingPlan, study_serving

TITLE = "Smaller or larger than optimal, and cheaper to serve"


def serving_chapter(inputs: ReportInputs) -> Chapter:
    """Prices of sizes wherever a loss surface may be asked, and the plans that were asked for."""
    asked = inputs.config.allocation
    try:
        demands = asked.inference_tokens or ([0.0] if asked.loss else [])
        made = study_serving(inputs.study, qualities(asked), demands)
    except FitError as error:
        if not (asked.loss or asked.inference_tokens):
            return Chapter()
        return Chapter(
            [Section(TITLE, [f"Not answered: {error}."])],
            lines=[f"{TITLE}: {error}"],
            numbers={"serving": {"reason": str(error), "plans": []}},
        )
    return Chapter(
        [serving_section(made, inputs.study.config.loss_unit)],
        lines=[line for plan in made.plans for line in printed(plan)],
        numbers={"serving": serving_json(made)},
    )


def qualities(asked: AllocationConfig) -> list[Quality]:
    """What models are to reach: losses, and the best that training budgets reach."""
    budgets = asked.flops if asked.inference_tokens else []
    return [*(Quality(loss=x) for x in asked.loss), *(Quality(flops=c) for c in budgets)]


def serving_section(made: Serving, unit: str) -> Section:
    """The price table, the plans, and the figure of both."""
    text = (
        f"By the {made.approach} law, a model k times the compute-optimal size reaches the same "
        f"loss if it trains on more (or fewer) tokens. The price in training compute depends on "
        f"the law's exponents alone and is the same at every loss. A served token costs a third of "
        f"a training token, so that smaller models pay from a number of served tokens on, given as "
        f"a multiple of the optimum's training tokens. It is the law's answer: how it holds away "
        f"from the optimum is known as far as runs were trained there (* beyond them)."
    )
    figure = FigureSpec(
        "serving",
        serving_figure(made),
        "Training compute for the same loss against size over the optimal size, least at 1; "
        "beside it, where served tokens were given, training plus inference against size.",
        "What another size costs (band: 95 %), and total cost with served tokens: diamonds are "
        "cheapest in all, rings cheapest to train.",
    )
    tables = [_prices(made.prices)]
    if made.plans:
        tables.append(_plans(made.plans, unit))
    return Section(TITLE, [text], [figure], tables)


def printed(plan: ServingPlan) -> list[str]:
    """Lines for the terminal."""
    what = f"loss {number(plan.loss, 4)}, {count_label(plan.inference_tokens)} tokens served"
    if not np.isfinite(plan.n_params):
        return [f"{what}: no plan ({plan.reason})"]
    own = plan.intervals
    outside = "".join(f", {name} by {number(f, 2)} times" for name, f in plan.beyond.items())
    lines = [
        f"{what}: {count_label(plan.n_params)} parameters ({count_span(own['n_params'])}) on "
        f"{count_label(plan.n_tokens)} tokens ({count_span(own['n_tokens'])}), "
        f"{number(plan.total_flops)} FLOPs in all, {number(plan.training_flops)} of them training; "
        f"{_percent(plan.saving)} less ({_percents(own['saving'])}) than the compute-optimal model "
        f"of that loss" + (f"; an extrapolation{outside}" if outside else "")
    ]
    return [*lines, f"note: {plan.reason}"] if plan.reason else lines


def serving_json(made: Serving) -> dict[str, Any]:
    """Prices and plans as fits.json has them."""
    return {
        "approach": made.approach,
        "prices": [vars(row) for row in made.prices],
        "plans": [plan.to_json() for plan in made.plans],
    }


def _prices(rows: tuple[PriceRow, ...]) -> TableSpec:
    columns = ["N / N_opt", "training compute", "95 %", "training tokens", "95 %",
               "cheapest from, served tokens", "95 %"]  # fmt: skip
    cells = [
        [
            f"{row.factor:g}" + ("" if row.beyond is None else " *"),
            f"{number(row.compute)} x",
            span(row.compute_interval),
            f"{number(row.tokens)} x",
            span(row.tokens_interval),
            "never" if np.isnan(row.pays_from) else f"{number(row.pays_from)} x",
            "–" if np.isnan(row.pays_from) else span(row.pays_interval),
        ]
        for row in rows
    ]
    return TableSpec("The same loss from another size (* beyond the runs)", columns, cells)


def _plans(plans: tuple[ServingPlan, ...], unit: str) -> TableSpec:
    columns = [f"loss ({unit})", "served tokens", "N", "95 %", "D", "95 %", "training FLOPs",
               "total FLOPs", "95 %", "saves", "95 %", "beyond the runs", "note"]  # fmt: skip
    cells = []
    for plan in plans:
        own = plan.intervals
        outside = ", ".join(f"{name} x {number(f, 2)}" for name, f in plan.beyond.items())
        cells.append([
            number(plan.loss, 4),
            count_label(plan.inference_tokens),
            "–" if np.isnan(plan.n_params) else count_label(plan.n_params),
            count_span(own["n_params"]) if own else "–",
            "–" if np.isnan(plan.n_tokens) else count_label(plan.n_tokens),
            count_span(own["n_tokens"]) if own else "–",
            number(plan.training_flops),
            number(plan.total_flops),
            span(own.get("total_flops")),
            _percent(plan.saving),
            _percents(own["saving"]) if own else "–",
            outside or "–",
            plan.reason,
        ])  # fmt: skip
    return TableSpec("Cheapest models, training and inference together", columns, cells)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if np.isfinite(share) else "–"


def _percents(interval: tuple[float, float]) -> str:
    return f"{_percent(interval[0])} to {_percent(interval[1])}"
