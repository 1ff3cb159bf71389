"""Which model serves so many tokens at least cost, and what a size off the optimum costs to train.

Both questions are asked of a loss surface at one quality, so of approach 3 alone (on runs of new
data where data repeats): minima and envelopes know no model away from the optimum.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from analysis.errors import FitError
from analysis.fits.serving import ServingOptimum, cheapest_to_serve, size_price
from analysis.fits.surface import Surface
from analysis.stats.resampling import Interval, percentile_interval
from analysis.studies.allocation import NEAR, beyond
from analysis.studies.approaches.fitted_approach import NO_INTERVAL, FittedApproach
from analysis.studies.study import Study

FACTORS = (0.25, 0.35, 0.5, 0.7, 1.4, 2.0, 2.8, 4.0)
"""Sizes over the optimal one whose price is listed."""


@dataclass(frozen=True)
class Quality:
    """A loss to be reached: stated, or the least that a training budget reaches (FLOPs)."""

    loss: float = float("nan")
    flops: float = float("nan")

    def of(self, surface: Surface) -> Any:
        """The loss under one surface or each of many; a budget's is that surface's own."""
        return surface.optimal(self.flops).loss if np.isfinite(self.flops) else self.loss


@dataclass(frozen=True)
class ServingPlan:
    """The cheapest model of one quality for one demand; NaN where there is none, for the reason.

    Attributes:
        quality: What was asked for; `loss` is it as a loss.
        inference_tokens: Tokens that it is to serve.
        saving: Share of the total cost of the compute-optimal model of the same loss, serving the
            same tokens, that the cheapest saves.
        beyond: By what factor it lies outside the runs in C, N, D, and in N over N_opt.
    """

    approach: str
    quality: Quality
    inference_tokens: float
    loss: float
    n_params: float = float("nan")
    n_tokens: float = float("nan")
    training_flops: float = float("nan")
    total_flops: float = float("nan")
    saving: float = float("nan")
    intervals: dict[str, Interval] = field(default_factory=dict)
    beyond: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The plan as fits.json has it; numbers may be NaN."""
        return asdict(self)


@dataclass(frozen=True)
class PriceRow:
    """A size off the optimum: its training compute over the least, for the same loss.

    Attributes:
        factor: N over the optimal N of that loss.
        compute: Training FLOPs over the least; infinite where no training reaches the loss.
        tokens: Training tokens over the optimum's.
        pays_from: Inference tokens over the optimum's training tokens for which this size is the
            cheapest; NaN above the optimal size.
        beyond: Factor by which N over N_opt lies outside that of any run; None within.
    """

    factor: float
    compute: float
    compute_interval: Interval
    tokens: float
    tokens_interval: Interval
    pays_from: float
    pays_interval: Interval
    beyond: float | None = None


@dataclass(frozen=True)
class Serving:
    """Prices of sizes and plans by one approach."""

    approach: str
    surface: Surface
    draws: Surface | None
    prices: tuple[PriceRow, ...]
    plans: tuple[ServingPlan, ...]


def study_serving(
    study: Study, qualities: Sequence[Quality] = (), inference_tokens: Sequence[float] = ()
) -> Serving:
    """The price of sizes, and a plan for each quality and demand.

    Args:
        study: The fits.
        qualities: What the models are to reach; the compute-optimal loss of the largest run's
            compute where none is given.
        inference_tokens: Demands; empty for no plans.

    Raises:
        FitError: No loss surface may give a headline; the message says why.
    """
    fit, surface = serving_law(study)
    asked = qualities or [Quality(flops=float(study.runs.flops.max()))]
    plans = tuple(_plan(fit, surface, q, d) for q in asked for d in inference_tokens)
    prices = tuple(price_row(fit, factor) for factor in FACTORS)
    return Serving(fit.name, surface, surface_draws(fit), prices, plans)


def serving_law(study: Study) -> tuple[FittedApproach, Surface]:
    """The law that is asked: the data-constrained law's where it decides, else approach 3.

    Raises:
        FitError: There is none without an objection.
    """
    reasons = []
    names = ("repeated",) if study.repeats_data else ("parametric",)
    for name in names:
        fit = study.fits.get(name)
        if fit is None:
            reasons.append(f"{name}: {study.missing.get(name, 'not fitted')}")
        elif fit.objections or not fit.usable or not isinstance(fit.surface, Surface):
            reasons.append(f"{name}: {'; '.join(fit.objections) or fit.reason or fit.status}")
        else:
            return fit, fit.surface
    raise FitError(f"no loss surface to ask ({'; '.join(reasons)})")


def plan_for(fit: FittedApproach, quality: Quality, inference_tokens: float) -> ServingPlan:
    """The cheapest model of a quality for a demand, by one fit.

    Raises:
        FitError: The fit has no surface L = E + A/N^alpha + B/D^beta, or is not usable.
    """
    return _plan(fit, asked_surface(fit), quality, inference_tokens)


def asked_surface(fit: FittedApproach) -> Surface:
    """A fit's loss surface.

    Raises:
        FitError: It has none L = E + A/N^alpha + B/D^beta, or is not usable.
    """
    if not fit.usable or not isinstance(fit.surface, Surface):
        raise FitError(
            f"the {fit.name} approach ({fit.status}) has no loss surface with an optimum; "
            f"use fit_parametric"
        )
    return fit.surface


def surface_draws(fit: FittedApproach) -> Surface | None:
    """The surfaces of the resamples, where the law is a `Surface`."""
    return fit.surface_draws if isinstance(fit.surface_draws, Surface) else None


def _plan(fit: FittedApproach, surface: Surface, quality: Quality, tokens: float) -> ServingPlan:
    loss = float(quality.of(surface))
    nothing = ServingPlan(fit.name, quality, tokens, loss)
    if loss <= float(surface.E):
        reason = f"the loss lies below the irreducible loss {float(surface.E):.4g} of the law"
        return ServingPlan(**{**vars(nothing), "reason": reason})
    best, saving = _served(surface, loss, tokens)
    n, d, training = float(best.n_params), float(best.n_tokens), float(best.training_flops)
    intervals, reason = _intervals(surface_draws(fit), quality, tokens)
    outside = beyond(fit.data.runs, training, n, d)
    off = _off_optimum(fit, surface, n / float(surface.optimal(training).n_params))
    return ServingPlan(
        **{
            **vars(nothing),
            "n_params": n,
            "n_tokens": d,
            "training_flops": training,
            "total_flops": float(best.total_flops),
            "saving": float(saving),
            "intervals": intervals,
            "beyond": outside if off is None else {**outside, "N/N_opt": off},
            "reason": reason,
        }
    )


def _served(surface: Surface, loss: Any, tokens: float) -> tuple[ServingOptimum, Any]:
    """The cheapest model, and the share that it saves against the compute-optimal one."""
    best = cheapest_to_serve(surface, loss, tokens)
    usual = cheapest_to_serve(surface, loss, 0.0)
    per_token = surface.cost.flops(usual.n_params, 1.0)
    total = usual.training_flops + per_token * tokens / 3
    return best, 1 - best.total_flops / total


def _intervals(
    draws: Surface | None, quality: Quality, tokens: float
) -> tuple[dict[str, Interval], str]:
    names = ("n_params", "n_tokens", "training_flops", "total_flops", "saving")
    if draws is None:
        return dict.fromkeys(names, NO_INTERVAL), ""
    with np.errstate(all="ignore"):  # draws that cannot reach the loss become NaN and are counted
        best, saving = _served(draws, quality.of(draws), tokens)
    columns = [*(np.asarray(getattr(best, name)) for name in names[:-1]), np.asarray(saving)]
    lost = float(np.mean(~np.isfinite(columns[0])))
    intervals = {n: percentile_interval(c) for n, c in zip(names, columns, strict=True)}
    if np.isfinite(intervals["n_params"]).all():
        return intervals, ""
    return intervals, (
        f"no intervals: in {100 * lost:.0f} % of the resamples the loss lies below the "
        f"irreducible loss"
    )


def price_row(fit: FittedApproach, factor: float) -> PriceRow:
    """The price of one size by one fit, with intervals from its resamples."""
    surface = asked_surface(fit)
    own, draws = size_price(surface, factor), surface_draws(fit)
    spans = [NO_INTERVAL] * 3
    if draws is not None:
        drawn = size_price(draws, factor)
        columns = (drawn.compute, drawn.tokens, drawn.pays_from)
        spans = [_open_interval(np.asarray(column)) for column in columns]
    compute = float(own.compute)
    relative = factor / compute ** float(surface.a) if np.isfinite(compute) else factor
    return PriceRow(
        factor,
        compute,
        spans[0],
        float(own.tokens),
        spans[1],
        float(own.pays_from),
        spans[2],
        _off_optimum(fit, surface, relative),
    )


def _open_interval(drawn: np.ndarray) -> Interval:
    """The central 95 % of draws, of which some may be infinite (the loss is out of reach)."""
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < 2:
        return NO_INTERVAL
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return float(low), float(high)


def _off_optimum(fit: FittedApproach, surface: Surface, relative: float) -> float | None:
    """By what factor N over the N_opt of its compute lies outside that of every run."""
    runs = fit.data.runs
    own = runs.n_params / np.asarray(surface.optimal(runs.flops).n_params)
    factor = max(relative / float(own.max()), float(own.min()) / relative)
    return factor if factor > NEAR else None
