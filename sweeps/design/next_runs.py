"""What to run next after a fit: sizes that bracket a minimum, seeds, and the most telling cells.

In this order, for as long as the budget lasts. Every proposal has its reason and its cost; what is
not proposed keeps the reason why.
"""

from dataclasses import dataclass, field

import numpy as np

from analysis.errors import FitError
from analysis.fits.parametric.fisher_information import most_informative, precision
from analysis.fits.surface import Surface
from analysis.stored_fits import StoredFit, StoredFits, StoredProfile
from sweeps.design.candidates import Ladder, Limits
from sweeps.plan.expand import short_number

NEAREST = 3
"""Sizes about a minimum that get another seed."""

BEYOND = 3.0
"""A budget this many times the largest is among the cells that may tell most."""


LEAST_GAIN = 0.01
"""Share of the standard error of a that a cell must take off to be worth running."""


@dataclass(frozen=True, eq=False)
class FittedRuns:
    """The runs of a fit, (runs,) each; `budget` is what the grid asked for, NaN for none."""

    d_model: np.ndarray
    n_params: np.ndarray
    n_tokens: np.ndarray
    flops: np.ndarray
    budget: np.ndarray
    seed: np.ndarray
    loss: np.ndarray

    def __len__(self) -> int:
        return len(self.loss)


@dataclass(frozen=True)
class Proposal:
    """Widths to run at one budget with some seeds, and why; `flops` is what that costs."""

    kind: str
    budget: float
    d_models: tuple[int, ...]
    seeds: tuple[int, ...]
    reason: str

    @property
    def flops(self) -> float:
        return self.budget * len(self.d_models) * len(self.seeds)


@dataclass(frozen=True)
class Proposals:
    """What is proposed within a budget, what is not and why, and what it does to the error of a.

    `before` and `after` are half-widths of its 95 % interval by information; NaN where the
    parametric fit does not say.
    """

    made: list[Proposal] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    before: float = float("nan")
    after: float = float("nan")

    @property
    def flops(self) -> float:
        return sum(proposal.flops for proposal in self.made)


def propose(
    fits: StoredFits,
    runs: FittedRuns,
    ladder: Ladder,
    limits: Limits,
    seeds: tuple[int, ...],
    budget: float,
    force: bool = False,
) -> Proposals:
    """Everything worth running next for at most `budget` FLOPs.

    Args:    seeds: those that new cells of the sweep get.
    """
    wanted = [*brackets(fits, runs, ladder, seeds), *more_seeds(fits, runs, ladder)]
    made: list[Proposal] = []
    left_out: list[str] = []
    for item in wanted:
        spent = sum(proposal.flops for proposal in made)
        if isinstance(item, str):
            left_out.append(item)
        elif spent + item.flops <= budget:
            made.append(item)
        else:
            left_out.append(
                f"{item.kind} at {short_number(item.budget)}: {item.flops:.3g} FLOPs are more than "
                f"the {budget - spent:.3g} that are left; raise budget="
            )
    surface = surface_to_trust(fits, force)
    if isinstance(surface, str):
        return Proposals(made, [*left_out, surface])
    left = budget - sum(proposal.flops for proposal in made)
    try:
        made += informative(surface, runs, made, ladder, limits, seeds[0], left)
    except FitError as error:
        return Proposals(made, [*left_out, f"informative cells: {error}"])
    return Proposals(made, left_out, *_errors(surface, runs, made, ladder))


def brackets(
    fits: StoredFits, runs: FittedRuns, ladder: Ladder, seeds: tuple[int, ...]
) -> list[Proposal | str]:
    """The sizes that approach 2 names for budgets whose minimum no runs hold on some side."""
    found: list[Proposal | str] = []
    for profile in _profiles(fits):
        if not profile.propose_n_params:
            continue
        budget = nominal(runs, profile.flops)
        reason = profile.reason or "a single size holds one side of the minimum"
        here = set(runs.d_model[runs.budget == budget].tolist())
        widths = _nearest(ladder, profile.propose_n_params)
        new = tuple(width for width in widths if width not in here)
        if new:
            found.append(Proposal("bracket", budget, new, seeds, reason))
        else:
            found.append(f"bracket at {short_number(budget)}: the ladder has no further size")
    return found


def more_seeds(fits: StoredFits, runs: FittedRuns, ladder: Ladder) -> list[Proposal | str]:
    """Another seed for the sizes about a minimum that noise leaves open by over a grid step."""
    found: list[Proposal | str] = []
    for profile in _profiles(fits):
        low, high = profile.n_opt_interval or (None, None)
        if not profile.bracketed or not low or not high:
            continue
        budget = nominal(runs, profile.flops)
        rows = runs.budget == budget
        sizes = np.unique(runs.n_params[rows])
        step = float(np.median(np.diff(np.log(sizes)))) if len(sizes) > 1 else np.inf
        half = float(np.log(high / low)) / 2
        if half <= step:
            continue
        near = sizes[np.argsort(np.abs(np.log(sizes / profile.n_opt)))][:NEAREST]
        chosen = rows & np.isin(runs.n_params, near) & np.isin(runs.n_params, ladder.n_params)
        widths = tuple(sorted({int(width) for width in runs.d_model[chosen]}))
        if not widths:
            found.append(f"seeds at {short_number(budget)}: its shapes are not of the ladder")
            continue
        reason = (
            f"noise leaves N_opt open by a factor {np.exp(half):.2f} either way, sizes are "
            f"{np.exp(step):.2f} apart"
        )
        seed = int(runs.seed[chosen].max()) + 1
        found.append(Proposal("seeds", budget, widths, (seed,), reason))
    return found


def informative(
    surface: Surface,
    runs: FittedRuns,
    made: list[Proposal],
    ladder: Ladder,
    limits: Limits,
    seed: int,
    left: float,
) -> list[Proposal]:
    """New cells at the sweep's budgets and one beyond that tell most of a for their FLOPs.

    They keep within the ratios of tokens to parameters that were fitted, and know of the cells
    that are proposed already.
    """
    budgets = np.unique(runs.budget[np.isfinite(runs.budget)])
    budgets = budgets if len(budgets) else np.geomspace(runs.flops.min(), runs.flops.max(), 4)
    budgets = np.append(budgets, float(f"{BEYOND * budgets.max():.3g}"))
    ratio = runs.n_tokens / runs.n_params
    widths, cost = (side.ravel() for side in np.meshgrid(np.arange(len(ladder.n_params)), budgets))
    n_params, n_tokens = ladder.n_params[widths], cost / ladder.flops_per_token[widths]
    taken = {(float(d), float(c)) for d, c in zip(runs.d_model, runs.budget, strict=True)}
    taken |= {(float(d), item.budget) for item in made for d in item.d_models}
    shape = ladder.d_model[widths].astype(float)
    new = np.array([cell not in taken for cell in zip(shape, cost, strict=True)])
    allowed = new & limits.allow(n_params, n_tokens)
    allowed &= (n_tokens / n_params >= ratio.min()) & (n_tokens / n_params <= ratio.max())
    kept = np.flatnonzero(allowed)
    fitted = _with_proposed(runs, made, ladder)
    chosen = most_informative(
        surface, fitted, (n_params[kept], n_tokens[kept]), cost[kept], left, "a", LEAST_GAIN
    )
    found = []
    for budget in budgets:
        here = [(int(shape[kept[i]]), factor) for i, factor in chosen if cost[kept[i]] == budget]
        if here:
            shrink = 100 * (1 - float(np.prod([factor for _, factor in here])))
            reason = f"tells most of a for its FLOPs: {shrink:.2g} % off its standard error"
            widths_here = tuple(sorted(width for width, _ in here))
            found.append(Proposal("inform", float(budget), widths_here, (seed,), reason))
    return found


def surface_to_trust(fits: StoredFits, force: bool) -> Surface | str:
    """The parametric surface, or why no cell is chosen by it."""
    fit = fits.parametric or StoredFit()
    if fit.status != "converged" and not force:
        return f"informative cells: the parametric fit is {fit.status}{fit.why}; or pass force=true"
    try:
        return fits.surface
    except FitError as error:
        return f"informative cells: {error}"


def nominal(runs: FittedRuns, flops: float) -> float:
    """The budget that a grid asked for, of the profile whose runs took about these FLOPs."""
    asked = np.unique(runs.budget[np.isfinite(runs.budget)])
    if not len(asked):
        return float(f"{flops:.3g}")
    return float(asked[np.argmin(np.abs(np.log(asked / flops)))])


def _profiles(fits: StoredFits) -> list[StoredProfile]:
    return fits.isoflop.budgets if fits.isoflop else []


def _nearest(ladder: Ladder, sizes: list[float]) -> list[int]:
    index = np.unique([int(np.argmin(np.abs(np.log(ladder.n_params / n)))) for n in sizes])
    return [int(width) for width in ladder.d_model[index]]


def _with_proposed(
    runs: FittedRuns, made: list[Proposal], ladder: Ladder
) -> tuple[np.ndarray, np.ndarray]:
    """N and D of the fitted runs and of what is proposed, each seed a run."""
    n_params, n_tokens = [runs.n_params], [runs.n_tokens]
    for item in made:
        index = np.flatnonzero(np.isin(ladder.d_model, item.d_models))
        for _ in item.seeds:
            n_params.append(ladder.n_params[index])
            n_tokens.append(item.budget / ladder.flops_per_token[index])
    return np.concatenate(n_params), np.concatenate(n_tokens)


def _errors(
    surface: Surface, runs: FittedRuns, made: list[Proposal], ladder: Ladder
) -> tuple[float, float]:
    """Half-widths of a before and after, at the noise of the fitted runs about the surface."""
    off = np.log(runs.loss / np.asarray(surface.loss(runs.n_params, runs.n_tokens)))
    noise = float(np.sqrt(np.sum(off**2) / max(len(runs) - 5, 1)))
    then = _with_proposed(runs, made, ladder)
    return (
        precision(surface, runs.n_params, runs.n_tokens, noise).a,
        precision(surface, *then, noise).a,
    )
