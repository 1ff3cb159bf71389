"""`isoflop sweep design`: the grid of a given total cost that tells the exponents best.

Candidates are ranked by the information of the parametric form, and the best few are then expanded
into real runs and simulated: fitted many times over with new noise, by approach 2 and approach 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.data.cost_law import fit_cost
from analysis.errors import FitError
from analysis.fits.isoflop import fit_isoflop
from analysis.fits.parametric.fisher_information import Precision, precision
from analysis.fits.parametric.fit import fit_parametric
from analysis.fits.surface import Surface
from analysis.studies.known_surfaces import cost_curve, true_exponents
from sweeps.design.candidates import Ground, Layout, layouts
from sweeps.plan.expand import PlannedRun
from sweeps.spec.design import DesignSpec
from train.config.spec import IsoflopError

OTHER_COSTS = (0.1, 0.3, 3.0, 10.0)
"""Multiples of the asked budget whose best designs stand beside it."""

TRUTH_BUDGETS = 7
"""Budgets over which the true exponents are the mean slopes."""

MOST_FAILED = 0.1
"""Share of replicates that may fail to converge before a design is passed over."""


class DesignError(IsoflopError):
    """A design that can't be searched for, or a search that finds nothing."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A layout with the half-widths of 95 % intervals that its information allows."""

    layout: Layout
    expected: Precision


@dataclass(frozen=True)
class Spread:
    """What simulated fits of a quantity did: their mean error, and 1.96 standard deviations."""

    bias: float
    half_width: float

    @property
    def within(self) -> float:
        """How far off to expect an estimate: bias and spread together."""
        return abs(self.bias) + self.half_width


@dataclass(frozen=True)
class SimulatedFit:
    """How one approach fared on simulated replicates of a design."""

    approach: str
    n_converged: int
    n_replicates: int
    spreads: dict[str, Spread]

    @property
    def trusted(self) -> bool:
        return self.n_converged >= (1 - MOST_FAILED) * self.n_replicates


def search(asked: DesignSpec, total: float, ground: Ground, noise: float) -> list[Candidate]:
    """All candidates of a total cost, tightest first.

    Raises:  DesignError: no combination can be laid out and told apart.
    """
    found = [
        Candidate(layout, expected_precision(layout, ground.surface, noise))
        for layout in layouts(asked, total, ground)
    ]
    found = [c for c in found if np.isfinite(getattr(c.expected, asked.by))]
    if not found:
        raise DesignError(
            f"no grid of {total:.3g} FLOPs in all can be laid out: the best sizes leave the ladder "
            f"({ground.ladder.n_params[0]:.3g} to {ground.ladder.n_params[-1]:.3g} parameters) or "
            f"the data ({_tokens(ground.limits.max_tokens)}); change budget=, data=, sweep.bounds "
            f"or design.*"
        )
    return sorted(found, key=lambda candidate: getattr(candidate.expected, asked.by))


def expected_precision(layout: Layout, surface: Surface, noise: float) -> Precision:
    """Half-widths from the information of a layout's runs, under their own cost law."""
    own = replace(surface, cost=fit_cost(layout.n_params, layout.n_tokens, layout.flops))
    seeds = layout.choice.seeds
    return precision(
        own, np.repeat(layout.n_params, seeds), np.repeat(layout.n_tokens, seeds), noise
    )


def varied(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """The best of every kind, number of seeds and span, tightest first: unlike ones, to compare."""
    kept: dict[tuple[str, int, float], Candidate] = {}
    for candidate in candidates:
        choice = candidate.layout.choice
        kept.setdefault((choice.kind, choice.seeds, choice.span), candidate)
    return list(kept.values())[:most]


def tried(
    runs: Sequence[PlannedRun],
    surface: Surface,
    noise: float,
    n_replicates: int,
    rng: np.random.Generator,
) -> list[SimulatedFit]:
    """Approaches 2 (where runs share budgets) and 3 on simulated replicates of planned runs."""
    n_params, n_tokens, flops = (
        np.array([getattr(run, name) for run in runs], dtype=float)
        for name in ("n_params", "n_tokens", "flops")
    )
    budget = np.array([run.job.flops_budget or np.nan for run in runs], dtype=float)
    own = replace(surface, cost=fit_cost(n_params, n_tokens, flops))
    clean = np.asarray(own.loss(n_params, n_tokens))
    losses = clean * np.exp(rng.normal(0, noise, (n_replicates, len(runs))))

    def isoflop(loss: np.ndarray) -> tuple[float, ...] | None:
        fit = fit_isoflop(budget, n_params, n_tokens, loss)
        return (fit.a, fit.b) if fit.status == "converged" else None

    def parametric(loss: np.ndarray) -> tuple[float, ...] | None:
        fit = fit_parametric(n_params, n_tokens, loss, cost=own.cost)
        return (fit.a, fit.b, fit.E) if fit.status == "converged" else None

    per_token = cost_curve(n_params, flops / n_tokens)
    shown = budget if np.isfinite(budget).all() else flops
    budgets = np.geomspace(shown.min(), shown.max(), TRUTH_BUDGETS)
    truth = (*true_exponents(surface, per_token, budgets), float(own.E))
    made = [_trial("parametric", parametric, losses, truth)]
    return [_trial("isoflop", isoflop, losses, truth), *made] if np.isfinite(budget).all() else made


def tightest(trials: Sequence[SimulatedFit], quantity: str) -> float:
    """`within` of the better approach that converged often enough; infinite without one."""
    widths = [
        trial.spreads[quantity].within
        for trial in trials
        if trial.trusted and quantity in trial.spreads
    ]
    return min(widths, default=float("inf"))


def _trial(approach, fit, losses: np.ndarray, truth: tuple[float, ...]) -> SimulatedFit:
    found = []
    for loss in losses:
        try:
            values = fit(loss)
        except FitError:
            values = None
        if values is not None:
            found.append(values)
    spreads = {}
    if len(found) > 1:
        names = ("a", "b", "E")[: len(found[0])]
        errors = np.array(found) - np.array(truth[: len(found[0])])
        spreads = {
            name: Spread(float(column.mean()), 1.96 * float(column.std(ddof=1)))
            for name, column in zip(names, errors.T, strict=True)
        }
    return SimulatedFit(approach, len(found), len(losses), spreads)


def _tokens(most: float | None) -> str:
    return "without end" if most is None else f"{most:.3g} tokens"
