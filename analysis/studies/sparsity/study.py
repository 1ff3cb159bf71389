"""A law of loss in N, D and sparsity, and the best sparsity of a budget, with intervals.

The cost of a token is of the parameters that it uses, so at one budget a sparser model is larger.
Only levels of sparsity that were trained are compared: a law of few levels says nothing between
and beyond them that a run has shown.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.data.loss_table import LossTable
from analysis.errors import FitError
from analysis.fits.forms.sparse import SparseFit, SparseLaw, fit_sparse
from analysis.stats.resampling import Interval, percentile_interval, resample_counts

N_DRAWS = 200
LEAST_LEVELS = 3
FEWEST_AT_LEVEL = 3
"""Runs of a level of sparsity without which it is no level to advise."""

MOST_MISFIT = 0.02
"""Rms of log residuals above which the law does not describe its runs."""

FACTORS = (1.0, 10.0)
"""Budgets over the largest that ran."""

_ACTIVE = ("n_params_active", "active_params", "n_active", "active_parameters")
_EXPERTS = ("n_experts", "num_experts", "experts")
_USED = ("experts_per_token", "n_experts_per_token", "top_k", "active_experts")


@dataclass(frozen=True)
class Level:
    """The best model of one budget at one sparsity.

    Attributes:
        flops: The budget.
        sparsity: Share of parameters that a token does not use.
        n_params: All parameters of the best model.
        n_interval: Its 95 % interval over resamples of the runs.
        n_active: Those that a token uses.
        n_tokens: Its tokens.
        loss: Its loss by the law.
        loss_interval: The law's 95 % interval there.
        beyond: By what factor C, N or D lies outside the runs, by name.
    """

    flops: float
    sparsity: float
    n_params: float
    n_interval: Interval
    n_active: float
    n_tokens: float
    loss: float
    loss_interval: Interval
    beyond: dict[str, float]


@dataclass(frozen=True, eq=False)
class SparsityStudy:
    """The law, what it advises, and why it may not be used.

    Attributes:
        fit: The law of all runs.
        column: Where sparsity was read.
        levels: Of each budget and sparsity the best model.
        objections: Why no number of the law may be printed.
        best_share: By budget, the share of resamples in which the best level is best.

    """

    fit: SparseFit
    column: str
    levels: tuple[Level, ...]
    objections: tuple[str, ...]
    best_share: dict[float, float]

    def best(self, flops: float) -> Level:
        """The level of least loss at one of the budgets."""
        return min((one for one in self.levels if one.flops == flops), key=lambda one: one.loss)

    @property
    def budgets(self) -> list[float]:
        return list(dict.fromkeys(one.flops for one in self.levels))

    def to_json(self) -> dict[str, Any]:
        """As fits.json has it."""
        return {
            **asdict(self.fit.law),
            "rms": self.fit.rms,
            "at_bound": self.fit.at_bound,
            "column": self.column,
            "levels": [asdict(one) for one in self.levels],
            "best_share": {f"{flops:g}": share for flops, share in self.best_share.items()},
            "objections": self.objections,
        }


def sparsity_of(table: LossTable) -> tuple[np.ndarray, str]:
    """Sparsity of each run, (runs,), and the columns that say it; NaN where none does."""
    if "sparsity" in table.runs:
        return table.numbers("sparsity"), "sparsity"
    experts = next((name for name in _EXPERTS if name in table.runs), None)
    used = next((name for name in _USED if name in table.runs), None)
    with np.errstate(all="ignore"):
        if experts and used:
            return 1 - table.numbers(used) / table.numbers(experts), f"{used} / {experts}"
        active = _active_column(table)
        if active:
            return 1 - table.numbers(active) / table.numbers("n_params"), f"{active} / n_params"
    return np.full(len(table), np.nan), ""


def is_sparse(table: LossTable) -> bool:
    """Whether runs of three levels of sparsity or more stand in a table."""
    values = sparsity_of(table)[0]
    return len(np.unique(np.round(values[np.isfinite(values)], 3))) >= LEAST_LEVELS


def study_sparsity(
    table: LossTable, budgets: Sequence[float] = (), n_draws: int = N_DRAWS, seed: int = 0
) -> SparsityStudy:
    """The law of N, D and sparsity of a table's runs.

    Args:
        table: Runs with a column sparsity, or experts and experts per token, or active parameters.
        budgets: FLOPs to advise for; the largest that ran and ten times that if empty.
        n_draws: Resamples of the runs that intervals are from.
        seed: Of the resamples.

    Raises:
        FitError: No such column, too few runs, or sparsity at fewer than three values.
    """
    sparsity, column = sparsity_of(table)
    if not column:
        raise FitError(
            "no column says how sparse a run is; expected sparsity, experts with "
            "experts_per_token, or n_params_active"
        )
    kept = np.flatnonzero(np.isfinite(sparsity))
    n, d, loss = (table.numbers(name)[kept] for name in ("n_params", "n_tokens", "loss"))
    s = sparsity[kept]
    active = _active_column(table)
    share = table.numbers(active)[kept] / n if active else 1 - s
    flops = 6 * share * n * d
    fit = fit_sparse(n, d, s, loss)
    counts = resample_counts(len(kept), n_draws, np.random.default_rng(seed)) if n_draws else []
    draws = [law for row in counts if (law := _redrawn(row, n, d, s, loss, fit)) is not None]
    levels, best = [], {}
    for budget in budgets or [float(flops.max()) * factor for factor in FACTORS]:
        made = [
            (level, losses)
            for value in np.unique(np.round(s, 3))
            if (rows := np.flatnonzero(np.round(s, 3) == value)).size >= FEWEST_AT_LEVEL
            for level, losses in [_level(fit.law, draws, budget, float(np.median(s[rows])),
                                         float(np.median(share[rows])), n, d, flops)]
        ]  # fmt: skip
        levels += [level for level, _ in made]
        if made and draws:
            order = np.array([losses for _, losses in made])
            first = int(np.argmin([level.loss for level, _ in made]))
            best[float(budget)] = float(np.mean(order.argmin(axis=0) == first))
    return SparsityStudy(fit, column, tuple(levels), _objections(fit), best)


def _objections(fit: SparseFit) -> tuple[str, ...]:
    found = []
    if fit.rms > MOST_MISFIT:
        found.append(f"the law misses its runs by {fit.rms:.1%} (rms of log residuals)")
    main = [name for name in fit.at_bound if name in ("alpha", "beta")]
    if main:
        found.append(f"{' and '.join(main)} ended at a bound, so the runs do not determine the law")
    return tuple(found)


def _redrawn(
    row: np.ndarray, n: np.ndarray, d: np.ndarray, s: np.ndarray, loss: np.ndarray, fit: SparseFit
) -> SparseLaw | None:
    """The law of one resample; None where it left fewer than three levels."""
    rows = np.repeat(np.arange(len(row)), row.astype(int))
    try:
        return fit_sparse(n[rows], d[rows], s[rows], loss[rows], fit.law).law
    except FitError:
        return None


def _level(
    law: SparseLaw, draws: list[SparseLaw], budget: float, sparsity: float, share: float,
    n: np.ndarray, d: np.ndarray, flops: np.ndarray,
) -> tuple[Level, np.ndarray]:  # fmt: skip
    """The best model of a budget at one sparsity, and its loss in each resample."""
    sizes = np.geomspace(n.min() / 10, n.max() * 100, 600)
    tokens = budget / (6 * share * sizes)
    best = [int(np.argmin(one.loss(sizes, tokens, sparsity))) for one in (law, *draws)]
    n_opt, d_opt = float(sizes[best[0]]), float(tokens[best[0]])
    losses = np.array([float(one.loss(n_opt, d_opt, sparsity)) for one in draws])
    nan = (float("nan"), float("nan"))
    outside = {
        name: max(value / float(own.max()), float(own.min()) / value)
        for name, value, own in (("C", budget, flops), ("N", n_opt, n), ("D", d_opt, d))
    }
    level = Level(
        float(budget), sparsity, n_opt,
        percentile_interval(sizes[best[1:]]) if draws else nan,
        share * n_opt, d_opt, float(law.loss(n_opt, d_opt, sparsity)),
        percentile_interval(losses) if draws else nan,
        {name: factor for name, factor in outside.items() if factor > 1.05},
    )  # fmt: skip
    return level, losses


def _active_column(table: LossTable) -> str | None:
    return next((name for name in _ACTIVE if name in table.runs), None)
