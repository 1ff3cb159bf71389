"""From a configuration to a design: the search within its ladder, data and bounds, then runs."""

from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.studies.known_surfaces import TRUTHS
from sweeps.design.candidates import Ground, Ladder, Limits
from sweeps.design.search import (
    OTHER_COSTS,
    Candidate,
    DesignError,
    SimulatedFit,
    search,
    tightest,
    tried,
)
from sweeps.plan.data_info import DataInfoCache
from sweeps.plan.expand import Expansion, expand, short_number
from sweeps.simulate.simulate import DEFAULT_SURFACE, named_truth
from sweeps.spec.config import SweepConfig
from sweeps.spec.design import DesignSpec
from sweeps.spec.grids import SweepSpec
from train.config.resolve import DataInfo


@dataclass(frozen=True, eq=False)
class DesignCandidate:
    """A candidate as a real sweep, and how the approaches fared on its simulated replicates."""

    candidate: Candidate
    sweep: SweepSpec
    expansion: Expansion
    trials: list[SimulatedFit]


@dataclass(frozen=True, eq=False)
class DesignResult:
    """The outcome of a search: candidates by the asked cost, the tried ones, best first, and the
    best candidate of other costs (None where there is none).

    `held_tokens` is what the data holds where no design of this cost gets by with it, else None.
    """

    candidates: list[Candidate]
    tried: list[DesignCandidate]
    other_costs: dict[float, Candidate | None]
    surface: str
    noise: float
    held_tokens: float | None = None

    @property
    def best(self) -> DesignCandidate:
        return self.tried[0]


def designed(config: SweepConfig) -> DesignResult:
    """The search that a configuration asks for; nothing is printed or written.

    Raises:  DesignError: no budget, a surface of another form, nothing that can be laid out, or
             designs on which no approach converges.
    """
    if config.budget is None:
        raise DesignError("sweep design needs what all runs may cost: budget=FLOPs, as budget=1e20")
    asked = config.design
    name = config.sweep.surface or DEFAULT_SURFACE
    surface, measured = named_truth(name)
    if not isinstance(surface, Surface):
        known = [k for k, truth in TRUTHS.items() if isinstance(truth, Surface)]
        raise DesignError(
            f"sweep.surface={name} is not of the form E + A/N^alpha + B/D^beta that precision is "
            f"reckoned for; expected {', '.join(known)}, or a fitted sweep or its fits.json"
        )
    noise = measured if config.sweep.noise is None else config.sweep.noise
    known = DataInfoCache(config)(config.data, config.model.seq_len)
    ground = _ground(config, surface, known)
    held = ground.limits.max_tokens
    try:
        candidates = search(asked, config.budget, ground, noise)
    except DesignError:
        if held is None:
            raise
        # A design is worth knowing before the data for it is there; the plan says what is missing.
        ground = replace(ground, limits=replace(ground.limits, max_tokens=None))
        known = replace(known, n_train_tokens=dict.fromkeys(known.n_train_tokens))
        candidates = search(asked, config.budget, ground, noise)
    rng = np.random.default_rng(0)
    finalists = [_try(c, config, surface, noise, known, rng) for c in candidates[: asked.best]]
    finalists.sort(key=lambda made: tightest(made.trials, asked.by))
    if not np.isfinite(tightest(finalists[0].trials, asked.by)):
        raise DesignError(
            f"no approach converges on any of the best {len(finalists)} designs; raise budget="
            f"{config.budget:g}, or lower sweep.noise={noise:g}"
        )
    others = {
        factor: _best_at(factor * config.budget, asked, ground, noise) for factor in OTHER_COSTS
    }
    short = held if ground.limits.max_tokens is None else None
    return DesignResult(candidates, finalists, others, name, noise, short)


def sweep_of(candidate: Candidate, config: SweepConfig) -> SweepSpec:
    """A candidate as a sweep that can be launched."""
    choice = candidate.layout.choice
    return SweepSpec(
        name=design_name(config),
        seeds=list(range(choice.seeds)),
        bounds=config.sweep.bounds,
        grids=candidate.layout.grids,
    )


def design_name(config: SweepConfig) -> str:
    """The sweep's name and the stem of its preset."""
    return f"design-{short_number(config.budget or 0)}"


def _ground(config: SweepConfig, surface: Surface, known: DataInfo) -> Ground:
    template = replace(config.model, vocab_size=config.model.vocab_size or known.vocab_size)
    bounds = config.sweep.bounds
    epochs = min(config.data.max_epochs, bounds.max_epochs or np.inf)
    total = sum(part.weight for part in config.data.parts.values())
    held = [
        n_tokens * epochs * total / config.data.parts[name].weight
        for name, n_tokens in known.n_train_tokens.items()
        if n_tokens is not None
    ]
    limits = Limits(
        min(held, default=None), bounds.min_tokens_per_param, bounds.max_tokens_per_param
    )
    return Ground(surface, Ladder.of(template), limits)


def _try(
    candidate: Candidate,
    config: SweepConfig,
    surface: Surface,
    noise: float,
    known: DataInfo,
    rng: np.random.Generator,
) -> DesignCandidate:
    sweep = sweep_of(candidate, config)
    expansion = expand(sweep, config.base, lambda *_: known, config.run_settings, config.tracker)
    trials = tried(expansion.runs, surface, noise, config.design.replicates, rng)
    return DesignCandidate(candidate, sweep, expansion, trials)


def _best_at(total: float, asked: DesignSpec, ground: Ground, noise: float) -> Candidate | None:
    try:
        return search(asked, total, ground, noise)[0]
    except (DesignError, FitError):
        return None
