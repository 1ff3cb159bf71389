"""Sparsity of mixtures of experts in words, a table and a figure."""

from analysis.errors import FitError
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.questions.sparsity import draw_sparsity
from analysis.figures.style import count_span
from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.sections.chapter import Chapter, ReportInputs
from analysis.studies.sparsity.study import Level, SparsityStudy, is_sparse, study_sparsity

TITLE = "Sparsity of experts"


def sparsity_chapter(inputs: ReportInputs) -> Chapter:
    """The law of N, D and sparsity, where runs of three levels of sparsity stand in the table."""
    table, config = inputs.study.table, inputs.config
    if not is_sparse(table):
        return Chapter()
    try:
        draws = min(config.fit.n_resamples, 200)
        made = study_sparsity(table, config.allocation.flops, draws, config.fit.seed)
    except FitError as error:
        return Chapter([Section(TITLE, [f"No law of sparsity: {error}."])],
                       lines=[f"{TITLE}: {error}"])  # fmt: skip
    said = conclusion(made)
    unit = config.fit.loss_unit
    return Chapter([sparsity_section(made, unit)], lines=said, numbers={"sparsity": made.to_json()})


def conclusion(study: SparsityStudy) -> list[str]:
    """The best sparsity of each budget, or why the law may not be used."""
    if study.objections:
        return [f"No law of sparsity: {'; '.join(study.objections)}."]
    lines = []
    for flops in study.budgets:
        best = study.best(flops)
        share = study.best_share.get(flops)
        sure = "" if share is None else f", best of the levels trained in {share:.0%} of resamples"
        lines.append(
            f"At {number(flops)} FLOPs: sparsity {number(best.sparsity)}{sure}, with "
            f"{count_label(best.n_params)} parameters, {count_label(best.n_active)} of them "
            f"active, on {count_label(best.n_tokens)} tokens{_outside(best)}."
        )
    return lines


def sparsity_section(study: SparsityStudy, unit: str) -> Section:
    """The law, each budget's best model by sparsity, and the figure."""
    law = study.fit.law
    text = [" ".join(conclusion(study))]
    if study.objections:
        return Section(TITLE, text)
    text.append(
        f"L = E + A/N^{number(law.alpha)} + B/D^{number(law.beta)} + C/(1-S)^{number(law.lam)} + "
        f"F/((1-S)^{number(law.delta)} N^{number(law.gamma)}) (Abnar et al. 2025), N all "
        f"parameters, S the sparsity ({study.column}). It misses its runs by "
        f"{100 * study.fit.rms:.2g} %. A token costs 6 FLOPs for each parameter that it uses. Only "
        f"levels that were trained are compared."
    )
    columns = ["FLOPs", "sparsity", "N", "95 %", "active", "D", f"loss ({unit})", "95 %",
               "beyond the runs"]  # fmt: skip
    rows = [_row(one) for one in study.levels]
    figure = FigureSpec(
        "sparsity",
        draw_sparsity(study, unit),
        "Loss of the best model of a budget against sparsity, by the law.",
        "The best model of each level of sparsity that was trained, at two budgets, with 95 % "
        "intervals of the law.",
    )
    table = TableSpec("The best model by sparsity", columns, rows)
    return Section(TITLE, text, [figure], [table])


def _row(one: Level) -> list[str]:
    outside = ", ".join(f"{name} x {number(f, 2)}" for name, f in one.beyond.items())
    return [
        number(one.flops),
        number(one.sparsity),
        count_label(one.n_params),
        count_span(one.n_interval),
        count_label(one.n_active),
        count_label(one.n_tokens),
        number(one.loss, 4),
        span(one.loss_interval),
        outside or "–",
    ]


def _outside(one: Level) -> str:
    if not one.beyond:
        return ""
    factors = ", ".join(f"{name} by {number(f, 2)} times" for name, f in one.beyond.items())
    return f"; an extrapolation, {factors}"
