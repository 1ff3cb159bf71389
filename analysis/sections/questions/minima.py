"""Laws from minima alone in words: isoflop optima TABLE, and runs on one line D = r N."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.errors import FitError
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.questions.minima import line_figure, optima_figure
from analysis.figures.style import count_span
from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.sections.chapter import Chapter, ReportInputs
from analysis.studies.minima.line import FARTHEST, LineLaw, fit_losses, on_one_line
from analysis.studies.minima.optima import Advice, OptimaLaw
from analysis.studies.study import Study

LINE = "The loss along one line"
OPTIMA = "Laws through the optima"


def line_chapter(inputs: ReportInputs) -> Chapter:
    """L(C) where all runs lie on one line of N and D, so that no surface can be fitted."""
    study = inputs.study
    where = on_one_line(study.runs) if len(study.runs) else ""
    if not where:
        return Chapter()
    try:
        made = fit_losses(study.runs.flops, study.runs.loss, study.config.seed)
    except FitError as error:
        return Chapter([Section(LINE, [f"Not fitted: {error}."])], lines=[f"{LINE}: {error}"])
    rows = predicted(made, inputs.config.allocation.flops)
    return Chapter(
        [line_section(study, made, where, rows)],
        lines=[
            line_words(made),
            *(f"{number(c)} FLOPs on the line: {said}" for c, said, _ in rows),
        ],
        numbers={"line": line_json(made, rows)},
    )


def predicted(made: LineLaw, flops: Sequence[float]) -> list[tuple[float, str, dict[str, Any]]]:
    """Losses at budgets, as words and as numbers; by default the largest and 10 times it."""
    top = float(made.flops.max())
    rows = []
    for budget in flops or (top, FARTHEST * top):
        try:
            loss, interval = made.loss(float(budget))
        except FitError as error:
            rows.append((float(budget), str(error), {"flops": budget, "reason": str(error)}))
            continue
        said = f"loss {number(loss, 4)} (95 % of the law {span(interval, 4)})"
        rows.append((float(budget), said, {"flops": budget, "loss": loss, "interval": interval}))
    return rows


def line_words(made: LineLaw) -> str:
    """The law in one sentence, and what it does not say."""
    if made.objection:
        return f"Loss along the line: no law ({made.objection})."
    law = made.law
    E, _ = made.irreducible_loss
    lower = f"E {number(E, 4)}" if np.isfinite(E) else f"no irreducible loss ({law.reason})"
    return (
        f"Loss along the line: L = E + k C^-g with {lower}, g {number(float(law.g))}, scatter "
        f"{100 * made.sd:.2g} %. N_opt is not determined: on one line N and D can't be told apart."
    )


def line_section(
    study: Study, made: LineLaw, where: str, rows: list[tuple[float, str, dict[str, Any]]]
) -> Section:
    """The law with its figure and its losses at budgets."""
    text = (
        f"{where}. Along the line the loss still falls with compute, as L = E + k C^-g. E and g "
        f"are given no interval: where the exponents of N and D differ, the line's law is not "
        f"exactly of that form, and an interval of E held the truth in 83 % of simulated lines. "
        f"Those of the loss held it in 91 to 97 %, up to ten times the compute."
    )
    figure = FigureSpec(
        "line", line_figure(made, study.runs.loss, study.config.loss_unit),
        "Loss against compute along one line of N and D, falling and flattening, with a band that "
        "widens beyond the runs.",
        "Loss along the line (band: 95 % of the law).",
    )  # fmt: skip
    table = TableSpec("Losses on the line", ["C (FLOPs)", "loss"],
                      [[number(c), said] for c, said, _ in rows])  # fmt: skip
    return Section(LINE, [line_words(made), text], [figure], [table])


def line_json(made: LineLaw, rows: list[tuple[float, str, dict[str, Any]]]) -> dict[str, Any]:
    """The law as fits.json has it."""
    law = made.law
    return {
        "E": made.irreducible_loss[0],
        "k": float(law.k),
        "g": float(law.g),
        "sd": made.sd,
        "status": law.status,
        "reason": made.objection or law.reason,
        "losses": [row for *_, row in rows],
    }


def optima_section(made: OptimaLaw, flops: Sequence[float]) -> Section:
    """Exponents, advice and the least loss, with the figure."""
    figure = FigureSpec(
        "optima", optima_figure(made),
        "Optimal parameters and tokens against compute, each with its power law and band.",
        "Optima and the power laws through them (bands: 95 %; shaded: beyond the optima).",
    )  # fmt: skip
    exponents = [
        ["N_opt ~ C^a", number(made.n_law.exponent), span(made.n_law.interval())],
        ["D_opt ~ C^b", number(made.d_law.exponent), span(made.d_law.interval())],
    ]
    tables = [TableSpec("Exponents", ["law", "exponent", "95 %"], exponents)]
    if not made.objections:
        rows = [
            [number(one.flops) + (" *" if one.beyond > 1 else ""), count_label(one.n_opt),
             count_span(one.n_interval), count_label(one.d_opt), count_span(one.d_interval)]
            for one in map(made.optimal, budgets(made, flops))
        ]  # fmt: skip
        columns = ["C (FLOPs)", "N", "95 %", "D", "95 %"]
        tables.append(TableSpec("Allocation (* beyond the optima)", columns, rows))
    return Section(OPTIMA, optima_words(made), [figure], tables)


def budgets(made: OptimaLaw, flops: Sequence[float]) -> list[float]:
    """Those asked for, else the largest optimum's and 10 and 100 times that."""
    top = float(made.flops.max())
    return [float(c) for c in flops] or [top, 10 * top, 100 * top]


def optima_words(made: OptimaLaw) -> list[str]:
    """The laws in sentences, with what speaks against them."""
    said = [
        f"{len(made.flops)} optima from {number(made.flops.min())} to {number(made.flops.max())} "
        f"FLOPs: N_opt ~ C^{made.n_law.exponent:.3f} ({span(made.n_law.interval())}), D_opt ~ "
        f"C^{made.d_law.exponent:.3f} ({span(made.d_law.interval())}). Optima count alike, since "
        f"their errors are not known; whether each was bracketed by runs is not known either."
    ]
    if made.objections:
        said.append(f"No size is read from them: {'; '.join(made.objections)}.")
    if made.loss is None or made.loss.objection:
        said.append(f"Least loss: {made.loss_reason or (made.loss and made.loss.objection)}.")
    else:
        E, interval = made.loss.irreducible_loss
        g, g_interval = made.loss.exponent
        ends = f"E {number(E, 4)} ({span(interval, 4)})" if np.isfinite(E) else made.loss.law.reason
        said.append(f"Least loss: L = E + k C^-g with {ends}, g {number(g)} ({span(g_interval)}).")
    return said


def optima_answers(made: OptimaLaw, flops: Sequence[float]) -> list[str]:
    """A sentence for each budget that was asked for; none where no size is read."""
    return [] if made.objections else [_answer(made.optimal(float(c))) for c in flops]


def _answer(one: Advice) -> str:
    beyond = (
        f" (an extrapolation beyond the optima, in C by {number(one.beyond, 2)} times)"
        if one.beyond > 1
        else ""
    )
    return (
        f"With {number(one.flops)} FLOPs, train {count_label(one.n_opt)} parameters (95 % interval "
        f"{count_span(one.n_interval)}) on {count_label(one.d_opt)} tokens "
        f"({count_span(one.d_interval)}), {number(one.d_opt / one.n_opt, 2)} tokens per "
        f"parameter{beyond}."
    )


def optima_json(made: OptimaLaw, flops: Sequence[float]) -> dict[str, Any]:
    """The laws as fits.json has them."""
    advice = [] if made.objections else [vars(made.optimal(c)) for c in budgets(made, flops)]
    found: dict[str, Any] = {
        "n_optima": len(made.flops),
        "a": made.n_law.exponent,
        "b": made.d_law.exponent,
        "intervals": {"a": made.n_law.interval(), "b": made.d_law.interval()},
        "n_coefficient": made.n_law.coefficient,
        "d_coefficient": made.d_law.coefficient,
        "objections": list(made.objections),
        "allocation": advice,
        "loss": None,
        "loss_reason": made.loss_reason,
    }
    if made.loss is not None:
        E, interval = made.loss.irreducible_loss
        g, g_interval = made.loss.exponent
        intervals = {"E": interval, "g": g_interval}
        found["loss"] = {"E": E, "k": float(made.loss.law.k), "g": g, "intervals": intervals}
        found["loss_reason"] = made.loss.objection or made.loss.law.reason
    return found
