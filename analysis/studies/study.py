"""Every fit of one table of runs with its intervals: what fits.json and the report are made
from.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from analysis.data.counting import COUNTINGS
from analysis.data.loss_table import LossTable
from analysis.data.run_arrays import Counted
from analysis.fits.data_constrained import RepeatedFit
from analysis.fits.envelope import EnvelopeFit
from analysis.fits.isoflop import IsoflopFit
from analysis.fits.kaplan import KaplanJoint
from analysis.fits.min_loss import (
    envelope_loss_law,
    isoflop_loss_draws,
    isoflop_loss_law,
    loss_law_intervals,
)
from analysis.fits.min_loss_law import LossLaw
from analysis.fits.parametric.fit import ParametricFit
from analysis.fits.parametric.profile_likelihood import Profile, profile, profiled
from analysis.fits.surface import Surface
from analysis.stats.resampling import Interval
from analysis.studies import approaches
from analysis.studies import bootstrap as intervals
from analysis.studies.approaches import Attempts, KaplanFit
from analysis.studies.bootstrap import EnvelopeDraws
from analysis.studies.fit_config import FitConfig
from analysis.studies.holdout import Holdout, leave_largest_out
from analysis.studies.unit_check import mixed_units

THIN_POINTS = 200_000
"""Points of training curves that the table of counting conventions looks at."""


@dataclass(frozen=True)
class CountingRow:
    """Exponents a = dlog N_opt / dlog C of each approach under one counting convention."""

    counting: str
    a: dict[str, float]
    k: float
    gamma: float


@dataclass(frozen=True)
class Study:
    """All fits of one table; one that could not be fitted is None, with the reason in `missing`.

    `intervals[approach][quantity]` are 95 % intervals of each approach's default method; `draws`
    are the surfaces of the bootstrap's resamples, None without one. `loss_laws` are of the least
    loss that approaches 1 and 2 found; `loss_draws` are of the latter alone, for the reason in
    `allocation.ENVELOPE_LOSS`.
    """

    table: LossTable
    runs: Counted
    config: FitConfig
    envelope: EnvelopeFit | None
    isoflop: IsoflopFit | None
    parametric: ParametricFit | None
    kaplan: KaplanFit | None
    repeated: RepeatedFit | None
    holdout: Holdout | None
    intervals: dict[str, dict[str, Interval]]
    profiles: dict[str, Profile]
    draws: Surface | None
    envelope_draws: EnvelopeDraws | None
    kaplan_draws: KaplanJoint | None
    loss_laws: dict[str, LossLaw]
    loss_draws: dict[str, LossLaw]
    n_resamples: int
    countings: tuple[CountingRow, ...]
    missing: dict[str, str] = field(default_factory=dict)


def run_study(table: LossTable, config: FitConfig, counting: str = "exact") -> Study:
    """All approaches on the runs of a table that belong together (see `table.select`).

    Raises:  FitError: a counting convention whose columns the table lacks, or a `fit.resample` that
             is no column.
    """
    intervals.require_resample(table.runs, config)
    attempt = Attempts()
    runs = approaches.with_cost(table.counted(counting), config)
    wanted = {
        "envelope": lambda: approaches.envelope(table, runs, config),
        "isoflop": lambda: approaches.isoflop(runs, config),
        "parametric": lambda: approaches.parametric(table, runs, config),
        "kaplan": lambda: approaches.kaplan(runs, config),
    }
    fits = {name: attempt(name, fit) for name, fit in wanted.items() if name in config.approaches}
    parametric = fits.get("parametric")
    in_bits = mixed_units(parametric.residuals) if parametric and parametric.usable else 0
    if in_bits:
        table = table.warned(
            f"{in_bits} runs lie a factor of 1.44 above the others' surface, as losses in bits do "
            f"among losses in nats; check the unit of loss"
        )
    envelope, isoflop = fits.get("envelope"), fits.get("isoflop")
    laws = {
        "envelope": envelope
        and attempt("envelope loss", lambda: envelope_loss_law(envelope, runs.n_params)),
        "isoflop": isoflop and attempt("isoflop loss", lambda: isoflop_loss_law(isoflop)),
    }
    study = Study(
        table=table,
        runs=runs,
        config=config,
        envelope=envelope,
        isoflop=isoflop,
        parametric=parametric,
        kaplan=fits.get("kaplan"),
        repeated=approaches.repeated(table, runs, config, attempt),
        holdout=attempt(
            "holdout", lambda: leave_largest_out(runs, config.valley, max(config.delta, 1e-6))
        ),
        intervals={},
        profiles={},
        draws=None,
        envelope_draws=None,
        kaplan_draws=None,
        loss_laws={name: law for name, law in laws.items() if law is not None},
        loss_draws={},
        n_resamples=0,
        countings=_countings(table, config),
        missing=attempt.missing,
    )
    return _with_intervals(study, attempt)


def _countings(table: LossTable, config: FitConfig) -> tuple[CountingRow, ...]:
    """The exponents under every convention that the table has the columns for, without
    intervals.
    """
    rows = []
    for counting in COUNTINGS:
        attempt = Attempts()
        runs = attempt(counting, lambda c=counting: approaches.with_cost(table.counted(c), config))
        if runs is None:
            continue
        fits = {
            "envelope": attempt(
                "envelope", lambda r=runs: approaches.envelope(table, r, config, THIN_POINTS)
            ),
            "isoflop": attempt("isoflop", lambda r=runs: approaches.isoflop(r, config)),
            "parametric": attempt(
                "parametric", lambda r=runs: approaches.parametric(table, r, config)
            ),
        }
        a = {name: fit.a for name, fit in fits.items() if fit is not None and np.isfinite(fit.a)}
        rows.append(CountingRow(counting, a, float(runs.cost.k), float(runs.cost.gamma)))
    return tuple(rows)


def _with_intervals(study: Study, attempt: Attempts) -> Study:
    """The study with bootstrap and profile intervals of whatever was fitted."""
    config, fit = study.config, study.parametric
    found: dict[str, dict[str, Interval]] = {}
    if study.isoflop and study.isoflop.n_law and study.isoflop.d_law:
        laws = {"a": study.isoflop.n_law, "b": study.isoflop.d_law}
        found["isoflop"] = {name: law.interval() for name, law in laws.items()}
    loss_draws = {}
    if study.isoflop and "isoflop" in study.loss_laws:
        drawn = attempt("isoflop loss interval", lambda: _isoflop_loss_draws(study))
        loss_draws = {"isoflop": drawn} if drawn is not None else {}
        found |= {f"{name} loss": loss_law_intervals(drawn) for name, drawn in loss_draws.items()}
    profiles = {}
    if fit is not None and fit.status == "converged":
        profiles = {name: profile(fit, name) for name in profiled(fit)}
        found["parametric"] = {name: p.interval for name, p in profiles.items()}
    study = replace(study, intervals=found, profiles=profiles, loss_draws=loss_draws)
    n_draws = intervals.n_resamples(config, len(study.runs))
    if not n_draws:
        return study
    weights = attempt("bootstrap", lambda: intervals.counts(study.table.runs, config, n_draws))
    if weights is None:
        note = f"No bootstrap: {attempt.missing['bootstrap']}; intervals of approach 3 are profiles"
        return replace(study, table=study.table.warned(note))
    return _with_bootstrap(study, weights)


def _isoflop_loss_draws(study: Study) -> LossLaw:
    assert study.isoflop is not None  # checked by the caller
    n_draws, rng = max(study.config.n_resamples, 1000), np.random.default_rng(study.config.seed)
    return isoflop_loss_draws(study.loss_laws["isoflop"], study.isoflop, n_draws, rng)


def _with_bootstrap(study: Study, weights: np.ndarray) -> Study:
    """The study with what resamples of its runs, (draws, runs), say of each approach."""
    config, fit, kaplan = study.config, study.parametric, study.kaplan
    found = dict(study.intervals)
    draws = envelope = joint = None
    if study.envelope is not None and study.envelope.status == "converged":
        curves = study.table.training_curves(study.runs)
        envelope = intervals.envelope_draws(curves, weights, config.envelope)
        found["envelope"] = intervals.exponent_intervals(envelope)
    if fit is not None and fit.status == "converged":
        draws = intervals.parametric_draws(fit, weights)
        if config.interval == "bootstrap":
            found["parametric"] = intervals.parametric_intervals(draws)
    if kaplan is not None and kaplan.joint.status == "converged":
        delta = max(config.delta, 1e-6)
        joint = intervals.kaplan_draws(kaplan.joint, study.runs, weights, delta)
        found["kaplan"] = intervals.kaplan_intervals(joint)
    return replace(
        study,
        intervals=found,
        draws=draws,
        envelope_draws=envelope,
        kaplan_draws=joint,
        n_resamples=len(weights),
    )
