"""Every fit of one table of runs: what fits.json and the report are made from."""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from analysis.data.counting import distinct
from analysis.data.loss_table import LossTable
from analysis.data.run_arrays import FitInput, RunArrays
from analysis.errors import FitError, FitErrors
from analysis.fits.data_constrained import DECAYS, FEWEST_REPEATED, REPEATED
from analysis.studies import bootstrap
from analysis.studies.approaches.best_of_cells import with_best_of
from analysis.studies.approaches.fit_all import fit_all, fit_input
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.holdout import Holdout, leave_largest_out
from analysis.studies.sparsity.study import mixed_levels
from analysis.studies.unit_check import mixed_units

THIN_POINTS = 200_000
"""Points of training curves that the table of counting conventions looks at."""

PREFERENCE = ("isoflop", "parametric", "envelope")
"""Whose optimum the headline quotes: the first without an objection. Approach 2 reads minima that
were trained, 3 uses all runs but believes its form, 1 reads losses inside decaying schedules."""

Kind = TypeVar("Kind", bound=FittedApproach)


@dataclass(frozen=True)
class CountingRow:
    """Exponents a = dlog N_opt / dlog C of each approach under one counting convention."""

    counting: str
    a: dict[str, float]
    k: float
    gamma: float


@dataclass(frozen=True)
class Study:
    """All fits of one table; an approach that could not be fitted has its reason in `missing`.

    Attributes:
        table: The runs that were fitted, and what was excluded.
        data: Those runs as arrays under the counting convention.
        config: The settings of the fits.
        fits: Every fitted approach by name, the data-constrained law among them where runs saw
            tokens more than once.
        holdout: Errors on the largest budget when it is left out.
        countings: The exponents under other conventions.
        n_resamples: Resamples that the intervals are drawn from, 0 for none.
        missing: Reasons, by what could not be had.
    """

    table: LossTable
    data: FitInput
    config: FitConfig
    fits: dict[str, FittedApproach]
    holdout: Holdout | None = None
    countings: tuple[CountingRow, ...] = ()
    n_resamples: int = 0
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> RunArrays:
        return self.data.runs

    @property
    def repeats_data(self) -> bool:
        """Whether so many runs saw tokens more than once that the data-constrained law decides.

        Not where `fit.max_epochs=inf` asks to count repeated tokens as new ones.
        """
        repeated = self.table.with_repeating().epochs() > REPEATED
        return bool(np.isfinite(self.config.max_epochs) and repeated.sum() >= FEWEST_REPEATED)

    @property
    def preferred(self) -> FittedApproach | None:
        """The approach that the headline quotes; None where each has an objection."""
        names = (RepeatedApproach.name,) if self.repeats_data else PREFERENCE
        ranked = [self.fits[name] for name in names if name in self.fits]
        trusted = [fit for fit in ranked if not fit.objections]
        return next((fit for fit in trusted if fit.preferable), next(iter(trusted), None))

    @property
    def deciding(self) -> dict[str, FittedApproach]:
        """The approaches that may give the headline, whether or not they were trusted."""
        return {name: fit for name, fit in self.fits.items() if fit.decides}

    def find(self, kind: type[Kind]) -> Kind | None:
        """The fit of one approach with all that is particular to it, for what draws just that."""
        return next((fit for fit in self.fits.values() if isinstance(fit, kind)), None)

    def interval(self, approach: str, name: str) -> tuple[float, float]:
        """An approach's 95 % interval of a parameter; NaN where there is none."""
        nan = float("nan")
        fit = self.fits.get(approach)
        return (nan, nan) if fit is None else fit.intervals.get(name, (nan, nan))


def run_study(table: LossTable, config: FitConfig, counting: str = "exact") -> Study:
    """All approaches on the runs of a table that belong together (see `table.select`).

    Raises:
        FitError: A counting convention or `fit.weights` whose columns the table lacks, or a
            `fit.resample` that is no column, or `fit.fixed` of repeated data without any.
    """
    bootstrap.require_resample(table.runs, config)
    _require_repeats(table, config)
    attempt = FitErrors()
    data = fit_input(table, counting, config)
    table, data = with_best_of(table, data, config)
    if mixed := mixed_levels(table):
        table = table.warned(mixed)
    fits = fit_all(data, config, attempt)
    table = _warned_of_units(table, fits)
    holdout = attempt("holdout", lambda: leave_largest_out(data, fits))
    resamples, n_resamples = None, bootstrap.n_resamples(config, len(data))
    if n_resamples:
        draw = FitErrors()
        resamples = draw("bootstrap", lambda: bootstrap.counts(table.runs, config, n_resamples))
        attempt.missing |= draw.missing
        if resamples is None:
            table = table.warned(
                f"No bootstrap: {draw.missing['bootstrap']}; intervals of approach 3 are profiles"
            )
    fits = {name: fit.resampled(resamples) for name, fit in fits.items()}
    repeated = _repeated(table, config, counting, attempt, 0 if resamples is None else n_resamples)
    if repeated is not None:
        fits[repeated.name] = repeated
    for fit in fits.values():
        attempt.missing |= fit.missing
    return Study(
        table=table,
        data=data,
        config=config,
        fits=fits,
        holdout=holdout,
        countings=_countings(table, config),
        n_resamples=0 if resamples is None else len(resamples),
        missing=attempt.missing,
    )


def _warned_of_units(table: LossTable, fits: dict[str, FittedApproach]) -> LossTable:
    parametric = next((f for f in fits.values() if isinstance(f, ParametricApproach)), None)
    in_bits = mixed_units(parametric.fit.residuals) if parametric and parametric.usable else 0
    if not in_bits:
        return table
    return table.warned(
        f"{in_bits} runs lie a factor of 1.44 above the others' surface, as losses in bits do "
        f"among losses in nats; check the unit of loss"
    )


def _require_repeats(table: LossTable, config: FitConfig) -> None:
    held = [name for name in DECAYS if name in config.fixed]
    if held and not (table.with_repeating().epochs() > REPEATED).any():
        raise FitError(
            f"fit.fixed names {held[0]}, but no run saw tokens more than once (columns epochs, or "
            f"unique_tokens); leave it out"
        )


def _repeated(
    table: LossTable, config: FitConfig, counting: str, attempt: FitErrors, n_resamples: int
) -> RepeatedApproach | None:
    """The data-constrained law of all runs, where some saw their tokens more than once."""
    table = table.with_repeating()
    if not (table.epochs() > REPEATED).any():
        return None
    data = fit_input(table, counting, config)
    fit = attempt(RepeatedApproach.name, lambda: RepeatedApproach.fitted(data, config))
    if fit is None or not n_resamples:
        return fit
    counts = attempt(
        f"{fit.name} intervals", lambda: bootstrap.counts(table.runs, config, n_resamples)
    )
    return fit.resampled(counts)


def _countings(table: LossTable, config: FitConfig) -> tuple[CountingRow, ...]:
    """The exponents under every convention that the table has the columns for, without
    intervals.
    """
    rows = []
    for counting in distinct(table.runs):
        data = FitErrors()(counting, lambda c=counting: fit_input(table, c, config, THIN_POINTS))
        if data is None:
            continue
        fits = fit_all(data, config)
        a = {name: fit.a for name, fit in fits.items() if fit.decides and np.isfinite(fit.a)}
        rows.append(CountingRow(counting, a, float(data.runs.cost.k), float(data.runs.cost.gamma)))
    return tuple(rows)
