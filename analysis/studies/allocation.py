"""What to train with a budget, by each approach, with intervals: the paper's table 3 for any
runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.data.cost_law import Cost
from analysis.stats.power_law import PowerLaw
from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies.study import Study

NO_INTERVAL: Interval = (float("nan"), float("nan"))

ENVELOPE_LOSS = "losses inside decaying schedules lift it, which no interval over runs shows"
"""Why the envelope's loss has none: under a cosine the bootstrap's held the truth at the largest
budget in 0 to 56 % of simulated sweeps, without decay in 36 to 87 % (benchmarks/coverage.py)."""


@dataclass(frozen=True)
class Advice:
    """How one approach spends one budget; NaN where it does not say, with the `loss_reason`."""

    approach: str
    flops: float
    n_opt: float
    d_opt: float
    loss: float
    n_interval: Interval = NO_INTERVAL
    d_interval: Interval = NO_INTERVAL
    loss_interval: Interval = NO_INTERVAL
    extrapolated: bool = False
    loss_reason: str = ""

    @property
    def tokens_per_param(self) -> float:
        return self.d_opt / self.n_opt


def default_budgets(study: Study) -> list[float]:
    """The budgets that ran (at most six of them), and 10, 100 and 1,000 times the largest."""
    budgets = np.unique(study.runs.budget[np.isfinite(study.runs.budget)])
    if not len(budgets):
        low, high = study.runs.flops.min(), study.runs.flops.max()
        budgets = np.geomspace(low, high, 3)
    shown = budgets[np.unique(np.linspace(0, len(budgets) - 1, min(6, len(budgets))).astype(int))]
    return [*map(float, shown), *(float(budgets.max()) * factor for factor in (10, 100, 1000))]


def allocate(
    study: Study, flops: Sequence[float] = (), n_params: Sequence[float] = ()
) -> list[Advice]:
    """Advice by every approach that was fitted, for budgets in FLOPs and for model sizes.

    A model size is given the budget for which the approach finds it optimal. With neither, the
    default budgets.
    """
    budgets = list(flops) if flops or n_params else default_budgets(study)
    advice: list[Advice] = []
    for name, n_law, d_law in _laws(study):
        own = [
            *budgets,
            *(float((n / n_law.coefficient) ** (1 / n_law.exponent)) for n in n_params),
        ]
        advice += [_from_laws(study, name, n_law, d_law, c) for c in own]
    fit = study.parametric
    if fit is not None and fit.usable:
        own = [*budgets, *(float(fit.surface.optimal_for(n).flops) for n in n_params)]
        advice += [_from_surface(study, c) for c in own]
    if study.kaplan is not None and study.kaplan.joint.status == "converged":
        advice += [_from_kaplan(study, c) for c in budgets]
    return sorted(advice, key=lambda row: row.flops)


def preferred(study: Study) -> str | None:
    """The approach that the summary quotes: 2 with three bracketed minima, else 3, else 1.

    Budgets that were guessed by clustering FLOPs do not count: 3 uses all runs then.
    """
    isoflop = study.isoflop
    given = bool(np.isfinite(study.table.numbers("flops_budget")).any())
    if given and isoflop and isoflop.status == "converged" and len(isoflop.bracketed) >= 3:
        return "isoflop"
    if study.parametric is not None and study.parametric.status == "converged":
        return "parametric"
    if study.envelope is not None and study.envelope.status == "converged":
        return "envelope"
    return None


def _laws(study: Study) -> list[tuple[str, PowerLaw, PowerLaw]]:
    fits = (("envelope", study.envelope), ("isoflop", study.isoflop))
    return [(name, f.n_law, f.d_law) for name, f in fits if f is not None and f.n_law and f.d_law]


def _from_laws(study: Study, name: str, n_law: PowerLaw, d_law: PowerLaw, flops: float) -> Advice:
    if name == "isoflop":
        bands = [law.band(np.array([flops])) for law in (n_law, d_law)]
        spans = [(float(low[0]), float(high[0])) for low, high in bands]
    elif study.envelope_draws is not None:
        a, log_n, b, log_d = study.envelope_draws.laws.T
        sizes, tokens = (np.exp(level + p * np.log(flops)) for level, p in ((log_n, a), (log_d, b)))
        spans = [percentile_interval(sizes), percentile_interval(tokens)]
    else:
        spans = [NO_INTERVAL, NO_INTERVAL]
    loss, loss_interval, reason = _least_loss(study, name, flops)
    return Advice(
        approach=name,
        flops=flops,
        n_opt=float(n_law(flops)),
        d_opt=float(d_law(flops)),
        loss=loss,
        n_interval=spans[0],
        d_interval=spans[1],
        loss_interval=loss_interval,
        extrapolated=flops > study.runs.flops.max() * 1.05,
        loss_reason=reason,
    )


def _least_loss(study: Study, name: str, flops: float) -> tuple[float, Interval, str]:
    """What the law of an approach's least losses says of a budget, and what to know about it."""
    law = study.loss_laws.get(name)
    if law is None:
        return float("nan"), NO_INTERVAL, study.missing.get(f"{name} loss", "")
    if law.status == "degenerate":
        return float("nan"), NO_INTERVAL, law.reason
    draws = study.loss_draws.get(name)
    if name == "envelope":
        return float(law(flops)), NO_INTERVAL, "; ".join(filter(None, (law.reason, ENVELOPE_LOSS)))
    if draws is None:
        unknown = study.missing.get(f"{name} loss interval", law.reason)
        return float(law(flops)), NO_INTERVAL, unknown
    if flops > study.runs.flops.max() * 1.05 and not law.foretells:
        reason = f"{law.reason}, whose interval beyond the runs would be too narrow to print"
        return float(law(flops)), NO_INTERVAL, reason
    return float(law(flops)), percentile_interval(np.ravel(draws(flops))), law.reason


def _from_surface(study: Study, flops: float) -> Advice:
    assert study.parametric is not None  # checked by the caller
    best = study.parametric.optimal(flops)
    spans = [NO_INTERVAL] * 3
    if study.draws is not None:
        with np.errstate(all="ignore"):  # draws without an optimum become NaN and are counted
            drawn = _optima_of_draws(study, flops)
        spans = [percentile_interval(values) for values in drawn]
    return Advice(
        "parametric",
        flops,
        float(best.n_params),
        float(best.n_tokens),
        float(best.loss),
        *spans,
        extrapolated=flops > study.runs.flops.max() * 1.05,
    )


def _optima_of_draws(study: Study, flops: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    surface = study.draws
    assert surface is not None and isinstance(surface.cost, Cost)
    n_params = surface.G * (flops / surface.cost.k) ** np.asarray(surface.a)
    n_tokens = surface.cost.n_tokens(n_params, flops)
    return np.asarray(n_params), np.asarray(n_tokens), np.asarray(surface.loss(n_params, n_tokens))


def _from_kaplan(study: Study, flops: float) -> Advice:
    assert study.kaplan is not None  # checked by the caller
    best = study.kaplan.joint.optimal(flops)
    spans = [NO_INTERVAL] * 3
    if study.kaplan_draws is not None:
        with np.errstate(all="ignore"):  # as in `_from_surface`
            drawn = study.kaplan_draws.optimal(flops)
        columns = (drawn.n_params, drawn.n_tokens, drawn.loss)
        spans = [percentile_interval(np.asarray(values)) for values in columns]
    return Advice(
        "kaplan",
        flops,
        float(best.n_params),
        float(best.n_tokens),
        float(best.loss),
        *spans,
        extrapolated=flops > study.runs.flops.max() * 1.05,
    )
