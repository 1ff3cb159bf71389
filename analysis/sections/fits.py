"""A study in words, tables and figures: the sections of the report."""

from collections.abc import Sequence

import numpy as np

from analysis.figures import fits as figures
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import count_span
from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.sections.approaches import (
    envelope_section,
    isoflop_section,
    not_fitted,
    parametric_section,
    status_lines,
)
from analysis.studies.allocation import AllocationRow
from analysis.studies.approaches.kaplan import KaplanApproach
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.study import Study


def study_sections(
    study: Study, advice: list[AllocationRow], targets: Sequence[float] = ()
) -> list[Section]:
    """The sections on fits, in the order of the report; `targets` are the budgets asked for."""
    made = [
        envelope_section(study),
        isoflop_section(study),
        parametric_section(study, targets),
        overlay_section(study, advice, targets),
        kaplan_section(study),
        repeated_section(study),
        counting_section(study),
    ]
    return [section for section in made if section is not None]


def runs_section(study: Study) -> Section:
    runs = study.runs
    budgets = np.unique(runs.budget[np.isfinite(runs.budget)])
    data = sorted(set(study.table.runs["data"])) if "data" in study.table.runs else []
    text = (
        f"{len(runs)} runs fitted{' on ' + ', '.join(data) if data else ''}, "
        f"{len(study.table.excluded)} excluded (listed below with reasons). "
        f"N from {count_label(runs.n_params.min())} to {count_label(runs.n_params.max())}, "
        f"D from {count_label(runs.n_tokens.min())} to {count_label(runs.n_tokens.max())}, "
        f"C from {number(runs.flops.min())} to {number(runs.flops.max())} FLOPs in "
        f"{len(budgets)} compute budgets; loss {number(runs.loss.min(), 4)} to "
        f"{number(runs.loss.max(), 4)} {study.config.loss_unit}."
    )
    cost = (
        f"Counting: {runs.counting}. Closed-form optima take the cost of a run as C = "
        f"{_cost(float(runs.cost.k), float(runs.cost.gamma))} FLOPs, "
        f"{'the rule of thumb' if study.config.cost == '6nd' else 'fitted to these runs'}."
    )
    return Section("The runs", [text, cost])


def overlay_section(
    study: Study, advice: list[AllocationRow], targets: Sequence[float] = ()
) -> Section | None:
    if not advice:
        return None
    figure = FigureSpec(
        "optimum",
        figures.optimum(study, targets),
        "Optimal parameters and optimal tokens against compute, one line for each approach, with "
        "the measured minima of the profiles.",
        "N_opt and D_opt against compute with 95 % bands. The shaded part lies beyond any run.",
    )
    budgets = [number(row.flops) + (" *" if row.extrapolated else "") for row in advice]
    rows = [
        [
            budget if i == 0 or budgets[i - 1] != budget else "",
            row.approach,
            count_label(row.n_opt),
            count_span(row.n_interval),
            count_label(row.d_opt),
            count_span(row.d_interval),
            number(row.tokens_per_param),
            number(row.loss, 4),
            span(row.loss_interval, 4),
        ]
        for i, (budget, row) in enumerate(zip(budgets, advice, strict=True))
    ]
    table = TableSpec(
        "Allocation (* beyond the compute of any run)",
        ["C (FLOPs)", "approach", "N", "95 %", "D", "95 %", "D/N", "loss", "95 %"],
        rows,
    )
    return Section("All approaches: how to spend compute", [], [figure], [table])


def holdout_section(study: Study) -> Section | None:
    held = study.holdout
    if held is None:
        return not_fitted(study, "holdout", "Prediction of the largest budget, left out")
    most = "the largest budget" if held.of_budget else "the runs of most compute"
    title = f"Prediction of {most}, left out"
    where = "at" if held.of_budget else "at about"
    text = (
        f"Every law fitted again to the other {held.n_fitted} runs and asked for the "
        f"{held.n_held} runs {where} {number(held.flops)} FLOPs."
    )
    rows = [
        [
            p.law,
            _percent(p.rms),
            _percent(p.bias),
            _percent(p.best),
            "–" if p.n_opt is None else f"{p.n_opt:.2f} x",
            p.reason,
        ]
        for p in held.predictions
    ]
    columns = ["law", "rms error of loss", "mean error", "error of the least loss", "N_opt", "note"]
    return Section(title, [text], [], [TableSpec("Errors", columns, rows)])


def kaplan_section(study: Study) -> Section | None:
    kaplan = study.find(KaplanApproach)
    title = "The power laws of Kaplan et al."
    if kaplan is None:
        return not_fitted(study, "kaplan", title)
    joint = kaplan.joint
    own = kaplan.intervals
    shown = [
        f"{name} {number(float(getattr(joint, name)))} ({span(own.get(name))})"
        for name in ("alpha_N", "alpha_D", "N_c", "D_c", "a")
    ]
    text = (
        f"The joint law L = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D gives {', '.join(shown)}; "
        f"rms of log residuals {number(joint.rms, 2)}; status {joint.status}. It has no E. "
        f"Intervals of the frontier laws L(N) and L(D) are too narrow: in simulated sweeps "
        f"they held the truth in 18 to 46 and 7 to 22 %, those of L(C) in 91 to 93 %."
    )
    rows = [
        [f"L({name})", number(-law.exponent), span((-law.interval()[1], -law.interval()[0])),
         str(law.n_points)]
        for name, law in kaplan.frontier.items()
    ]  # fmt: skip
    rows += [[f"L({name})", "–", "–", reason] for name, reason in kaplan.reasons.items()]
    columns = ["law", "exponent", "95 %", "runs on the frontier"]
    return Section(title, [text], [], [TableSpec("Frontier laws L = (x_c/x)^alpha", columns, rows)])


def repeated_section(study: Study) -> Section | None:
    fit = study.find(RepeatedApproach)
    title = "Repeated data"
    if fit is None:
        return not_fitted(study, "repeated", title)
    most = float(np.max(fit.runs.n_tokens / fit.runs.unique))
    text = (
        f"{len(fit.runs)} runs saw tokens more than once, up to {number(most)} times. Under the "
        f"data-constrained law of Muennighoff et al. 2023, repeated tokens lose most of their "
        f"value after R_D repetitions, parameters beyond what the unique tokens warrant after R_N. "
        f"Its surface is of the {len(fit.data)} runs on new data, and gives the advice of this "
        f"report; R_D and R_N are fitted to the others with that surface held (rms of log "
        f"residuals {fit.misfit:.3g}). The other approaches count repeated tokens as new."
    )
    own = fit.decay_intervals
    rows = [
        [
            name,
            number(decay.value),
            "fixed" if decay.fixed else span(own.get(name)),
            span(decay.interval),
            decay.reason
            or (f"flat {' and '.join(fit.unbounded[name])}" if name in fit.unbounded else ""),
        ]
        for name, decay in fit.decays.items()
    ]
    columns = ["number", "value", "95 %", "95 %, profile", "note"]
    table = TableSpec("Worth of repetition", columns, rows)
    return Section(title, [text, *status_lines(fit.status, fit.reason)], [], [table])


def counting_section(study: Study) -> Section | None:
    if len(study.countings) < 2:
        return None
    names = tuple(study.deciding)
    rows = [
        [row.counting + (" (this report)" if row.counting == study.runs.counting else ""),
         *(number(row.a[name]) if name in row.a else "–" for name in names),
         _cost(row.k, row.gamma)]
        for row in study.countings
    ]  # fmt: skip
    text = (
        "The same runs under other conventions for N and C: exponents of N_opt. Compare exponents "
        "of other papers only under their own convention."
    )
    table = TableSpec("Exponent a by convention", ["counting", *names, "cost of the runs"], rows)
    return Section("Counting conventions", [text], [], [table])


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.2f} %"


def _cost(k: float, gamma: float) -> str:
    return f"{number(k)} N D" if abs(gamma - 1) < 1e-9 else f"{number(k)} N^{number(gamma)} D"
